//! The database and what it holds.

use std::time::Duration;

use super::Finding;
use crate::{
    cli::target::missing_database,
    domain::time::Timestamp,
    server::config::Config,
    store::{DatabaseFacts, Inspection, inspect},
};

const DATABASE: &str = "database";

/// How far the clocks of the servers may differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(1);

/// Reads the database without changing it, also beside a running server.
pub async fn check(config: &Config, now: Timestamp) -> Vec<Finding> {
    let url = &config.database.url;
    if let Some(missing) = missing_database(config) {
        return vec![Finding::wrong(DATABASE, missing)];
    }
    let inspection = match inspect(url, now).await {
        Ok(inspection) => inspection,
        Err(error) => return vec![Finding::wrong(DATABASE, error.to_string())],
    };
    let Inspection { pending, damage, clock, facts } = inspection;
    let mut findings = vec![match (damage, pending) {
        (Some(damage), _) => {
            Finding::wrong(DATABASE, format!("{url} is damaged: {damage}. Stop the server and restore a backup."))
        }
        (None, 0) => Finding::ok(DATABASE, format!("{url} is intact and up to date")),
        (None, pending) => {
            Finding::look(DATABASE, format!("{url} needs {pending} migrations, which the next start applies"))
        }
    }];
    findings.extend(clock.map(|clock| compare(clock, now)));
    findings.extend(facts.into_iter().flat_map(|facts| of_facts(&facts)));
    findings
}

fn compare(database: Timestamp, here: Timestamp) -> Finding {
    let difference = database.since(here).max(here.since(database));
    let seconds = difference.as_secs();
    if difference < CLOCK_DIFFERENCE {
        return Finding::ok("clock", "this machine and the database agree");
    }
    Finding::look(
        "clock",
        format!(
            "the clocks of this machine and the database differ by {seconds} s: synchronize both with a time server"
        ),
    )
}

fn of_facts(facts: &DatabaseFacts) -> Vec<Finding> {
    let DatabaseFacts { admins, foreign_hashes, overdue_mail, failing_mails } = *facts;
    let admins = match admins {
        0 => Finding::look("admins", "there is no enabled admin: run `vestibule operator link` or `operator add`"),
        1 => Finding::look("admins", "there is one enabled admin: add a second one with `vestibule operator add`"),
        admins => Finding::ok("admins", format!("{admins} enabled admins")),
    };
    let hashes = match foreign_hashes {
        0 => Finding::ok("passwords", "all password hashes are argon2id"),
        left => Finding::look(
            "passwords",
            format!("{left} accounts have the password hash of another system until their next login"),
        ),
    };
    let queue = if overdue_mail {
        Finding::wrong("mail queue", "mail is due for 15 minutes and no server sends it: start one, or see its log")
    } else if failing_mails > 0 {
        Finding::wrong("mail queue", format!("{failing_mails} mails could not be sent several times: see the log"))
    } else {
        Finding::ok("mail queue", "no mail is overdue")
    };
    vec![admins, hashes, queue]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn facts_of_the_database_are_judged() {
        let judge = |facts| of_facts(&facts).iter().map(|finding| finding.status).collect::<Vec<_>>();
        let good = DatabaseFacts { admins: 2, ..DatabaseFacts::default() };
        assert_eq!(judge(good), [Status::Ok; 3]);
        assert_eq!(judge(DatabaseFacts { admins: 1, ..good })[0], Status::Look);
        assert_eq!(judge(DatabaseFacts { admins: 0, ..good })[0], Status::Look);
        assert_eq!(judge(DatabaseFacts { foreign_hashes: 1, ..good })[1], Status::Look);
        assert_eq!(judge(DatabaseFacts { overdue_mail: true, ..good })[2], Status::Wrong);
        assert_eq!(judge(DatabaseFacts { failing_mails: 1, ..good })[2], Status::Wrong);
    }

    #[test]
    fn clocks_are_compared_in_both_directions() {
        let (here, minute) = (Timestamp::from_millis(1_795_348_800_000), Duration::from_mins(1));
        let status = |database| compare(database, here).status;
        assert_eq!([here, here.plus(minute / 2), here.minus(minute / 2)].map(status), [Status::Ok; 3]);
        assert_eq!([here.plus(minute), here.minus(minute)].map(status), [Status::Look; 2]);
    }
}
