//! Users of Supabase, in a CSV file of its table `auth.users`.

use csv::StringRecord;

use crate::{
    domain::{source_account::SourceAccount, time::Timestamp},
    service::imports::{ImportedRow, Note},
};

/// The columns that are read. The table has more, which other exports may lack.
const NEEDED: [&str; 3] = ["id", "email", "encrypted_password"];

/// Checks the names of the columns.
pub fn check_columns(headers: &StringRecord) -> Result<(), String> {
    match NEEDED.into_iter().find(|needed| !headers.iter().any(|name| name == *needed)) {
        Some(missing) => Err(format!("the first line names no column {missing}; export the table auth.users")),
        None => Ok(()),
    }
}

/// Reads the user of a line.
pub fn row(headers: &StringRecord, record: &StringRecord, now: Timestamp) -> Result<SourceAccount, ImportedRow> {
    let text = |name: &str| {
        let place = headers.iter().position(|header| header == name);
        place.and_then(|place| record.get(place)).unwrap_or_default().trim()
    };
    let (id, email) = (text("id").to_owned(), text("email").to_owned());
    for (column, note) in [("is_anonymous", Note::Anonymous), ("deleted_at", Note::Deleted)] {
        if !matches!(text(column), "" | "f" | "false" | "null" | "NULL") {
            return Err(ImportedRow::skipped(id, email, note));
        }
    }
    let time = |name: &str| Timestamp::parse(text(name)).map(Timestamp::as_millis);
    let banned = match text("banned_until") {
        "" | "null" | "NULL" => false,
        // A time that can't be read, such as infinity, is in the future.
        until => Timestamp::parse(until).is_none_or(|until| until > now),
    };
    let optional = |name: &str| Some(text(name)).filter(|text| !matches!(*text, "" | "null" | "NULL"));
    Ok(SourceAccount {
        username: String::new(),
        password: optional("encrypted_password").unwrap_or_default().to_owned(),
        created_at: time("created_at"),
        last_login_at: time("last_sign_in_at"),
        email_verified: optional("email_confirmed_at").is_some(),
        disabled: banned,
        staff: matches!(text("is_super_admin"), "t" | "true"),
        groups: Vec::new(),
        token: None,
        id,
        email,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 9] = [
        "id",
        "email",
        "encrypted_password",
        "email_confirmed_at",
        "last_sign_in_at",
        "banned_until",
        "deleted_at",
        "is_anonymous",
        "created_at",
    ];

    fn read(fields: [&str; 9]) -> Result<SourceAccount, ImportedRow> {
        let now = Timestamp::parse("2026-11-28T12:00:00Z").expect("a time");
        row(&StringRecord::from(COLUMNS.to_vec()), &StringRecord::from(fields.to_vec()), now)
    }

    const CREATED: &str = "2026-11-27 09:30:00.123456+00";

    #[test]
    fn a_user_is_read_with_the_hash_and_the_state() {
        let ann = read(["1", "ann@example.org", "$2a$10$abc", CREATED, "", "", "", "f", CREATED]).expect("an account");
        assert_eq!((ann.password.as_str(), ann.email_verified, ann.disabled), ("$2a$10$abc", true, false));
        assert_eq!((ann.created_at, ann.last_login_at), (Some(1_795_771_800_123), None));
        for (until, disabled) in
            [("2026-11-28 11:59:59+00", false), ("2026-11-28 12:00:01+00", true), ("infinity", true)]
        {
            let bob = read(["2", "bob@example.org", "", "NULL", "", until, "", "false", CREATED]).expect("an account");
            assert_eq!((bob.disabled, bob.email_verified), (disabled, false), "{until}");
        }
    }

    #[test]
    fn a_deleted_and_an_anonymous_user_are_skipped() {
        let deleted = read(["1", "ann@example.org", "", "", "", "", CREATED, "f", CREATED]).expect_err("skipped");
        assert_eq!(deleted.notes, [Note::Deleted]);
        let anonymous = read(["2", "", "", "", "", "", "", "t", CREATED]).expect_err("skipped");
        assert_eq!(anonymous.notes, [Note::Anonymous]);
    }

    #[test]
    fn another_table_is_refused() {
        let refused = check_columns(&StringRecord::from(vec!["id", "email"])).expect_err("refused");
        assert!(refused.contains("encrypted_password"), "{refused}");
        assert_eq!(check_columns(&StringRecord::from(COLUMNS.to_vec())), Ok(()));
    }
}
