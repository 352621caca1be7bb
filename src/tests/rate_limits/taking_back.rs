//! Which networks an account remembers after its owner has proven the ownership.

use vestibule::service::admin::{Command, Reply};

use super::*;

impl App {
    /// Logs in from ten networks, and guesses once from the first. Returns the networks.
    async fn intrude(&self, who: &str) -> Vec<String> {
        let networks: Vec<String> = (0..10).map(|_| some_address()).collect();
        for network in &networks {
            assert_eq!(self.log_in_from(network, who, PASSWORD).await.status, 200);
        }
        assert_eq!(self.log_in_from(&networks[0], who, "wrong").await.status, 400);
        networks
    }

    /// Confirms an email at [`HOME`] by a link in a mail.
    async fn confirm_at_home(&self, endpoint: &str) -> u16 {
        let body = json!({ "token": token_of(&self.deliver_one().await), "password": PASSWORD });
        self.post(&format!("/api/accounts/{endpoint}/"), &body).from(HOME).send().await.status.as_u16()
    }

    /// Recovers an account. Returns its password afterwards.
    async fn recover_account(&self, who: &str, by: &str) -> &'static str {
        let operate = async |command| {
            assert!(matches!(self.service.run_admin_command(command).await, Reply::Done { .. }), "{by}");
        };
        let (name, password) = (who.to_owned(), NEW.to_owned());
        match by {
            "reset" => {
                let link = self.link_to_a_new_password(&format!("{who}@example.org")).await;
                assert_eq!(self.set_password_from(HOME, &link).await, 200);
            }
            "change" => {
                let token = self.token(who).await;
                let change = json!({ "current_password": PASSWORD, "new_password": NEW });
                let call = self.post("/api/accounts/change_password/", &change).bearer(&token).from(HOME);
                assert_eq!(call.send().await.status, 200);
            }
            "set-password" => operate(Command::SetPassword { who: name, password }).await,
            "disable" => {
                operate(Command::Disable { who: name.clone() }).await;
                operate(Command::Enable { who: name }).await;
                return PASSWORD;
            }
            _ => {
                operate(Command::RevokeSessions { who: name }).await;
                return PASSWORD;
            }
        }
        NEW
    }
}

on_both! {
    async fn no_network_of_an_intruder_is_known_once_the_owner_has_the_account_back_r92(app: App) {
        let acts = [
            ("ann", "reset", 200), ("bob", "change", 200),
            ("cyd", "set-password", 429), ("dan", "disable", 429), ("eve", "revoke-sessions", 429),
        ];
        for (who, act, at_home) in acts {
            app.register(who).await;
            let intruders = app.intrude(who).await;
            let password = app.recover_account(who, act).await;
            let counts = "SELECT CAST(COUNT(*) AS TEXT) FROM account_throttles WHERE key LIKE 'known:%' AND $1 = $1";
            assert_eq!(app.query(counts, "").await, "0", "{act}: their counts are deleted as well");
            assert_eq!(app.guesses(who, 6).await.last(), Some(&429));
            for network in intruders {
                // From a known network, the right password is accepted.
                assert_eq!(app.log_in_from(&network, who, password).await.status, 429, "{act}");
            }
            assert_eq!(app.log_in_from(HOME, who, password).await.status, at_home, "{act}");
        }
    }
}

on_both! {
    async fn who_takes_over_an_email_nobody_had_proven_leaves_the_squatter_no_network_r92(app: App) {
        app.register("ann").await;
        let intruders = app.intrude("ann").await;
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.set_password_from(HOME, &link).await, 200);
        assert_eq!(app.guesses("ann", 6).await.last(), Some(&429));
        for network in intruders {
            assert_eq!(app.log_in_from(&network, "ann", NEW).await.status, 429);
        }
        assert_eq!(app.log_in_from(HOME, "ann", NEW).await.status, 200);
    }
}

on_both! {
    async fn who_confirms_an_email_that_strangers_have_guessed_at_gets_in_from_there_r92(app: App) {
        assert_eq!(app.guesses("ann@example.org", 6).await.last(), Some(&429));
        app.register("ann").await;
        assert_eq!(app.log_in_from(HOME, "ann", PASSWORD).await.status, 429);
        assert_eq!(app.confirm_at_home("verify_email").await, 200);
        let home = app.log_in_from(HOME, "ann", PASSWORD).await;
        assert_eq!(home.status, 200);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 429, "a link helps no other person");
        app.clock.advance(Duration::from_hours(24 * 91));
        let token = app.token("ann").await;
        assert_eq!(app.guesses("new@example.org", 6).await.last(), Some(&429));
        let request = json!({ "new_email": "new@example.org" });
        assert_eq!(app.ask("POST", "/api/accounts/change_email/", &token, &request).await.status, 200);
        assert_eq!(app.confirm_at_home("confirm_email").await, 200);
        assert_eq!(app.log_in_from(HOME, "new@example.org", PASSWORD).await.status, 200, "by a link to another email as well");
        assert_eq!(app.log_in("new@example.org", PASSWORD).await.status, 429);
    }
}
