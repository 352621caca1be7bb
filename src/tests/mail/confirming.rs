//! Confirming an email.

use super::*;

on_both! {
    async fn an_email_is_confirmed_by_its_link_and_the_password_once_r6_r58(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        assert_eq!(app.who(&token).await["email_verified"], false);
        let message = app.deliver_one().await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(message.to_text().replace(&token_of(&message), "…"), @r#"
            Vestibule

            Hello,

            Someone created the account ann at Vestibule with this address.

            If this was you, please confirm your email. You will be asked for your password.

            Confirm your email:
            http://127.0.0.1:8000/verify#…

            The link works once, for 24 hours.

            If this wasn't you, you can ignore this email. You can also open the link and choose a new password. That locks out the person who created the account.

            -- 
            You received this email because this address was used at Vestibule.
            http://127.0.0.1:8000
            "#);
        }
        assert_eq!(message.to, "ann@example.org");
        let link = token_of(&message);
        for wrong in ["wrong", "", NEW] {
            assert!([400, 403].contains(&app.verify(&link, wrong).await), "{wrong}");
        }
        for wrong in ["", "vsl_", &token, &link[..52], &link.replace("vsl_", "vst_")] {
            assert_eq!(app.verify(wrong, PASSWORD).await, 410, "{wrong}");
        }
        assert_eq!(app.who(&token).await["email_verified"], false);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        assert_eq!(app.who(&token).await["email_verified"], true, "at once, in every session");
        assert_eq!(app.verify(&link, PASSWORD).await, 410);
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        assert!(app.deliver().await.is_empty(), "there is nothing left to confirm");
    }
}

on_both! {
    async fn a_link_that_confirms_works_for_a_day_and_the_last_one_only(app: App) {
        app.register("ann").await;
        let token = app.token("ann").await;
        let first = token_of(&app.deliver_one().await);
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        let second = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&first, PASSWORD).await, 410);
        app.clock.advance(Duration::from_hours(24));
        assert_eq!(app.verify(&second, PASSWORD).await, 410);
        let token = app.token("ann").await;
        assert_eq!(app.ask("POST", RESEND, &token, &json!({})).await.status, 200);
        let third = token_of(&app.deliver_one().await);
        app.clock.advance(Duration::from_hours(24) - Duration::from_millis(1));
        assert_eq!(app.verify(&third, PASSWORD).await, 200);
    }
}

on_both! {
    async fn an_email_taken_by_a_stranger_is_its_owners_in_the_end_r6(app: App) {
        app.register("ann").await;
        let squatter = app.token("ann").await;
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let message = app.deliver_one().await;
        assert_eq!(message.subject, "Choose a new password for Vestibule");
        let text = message.to_text();
        assert!(text.contains("for 24 hours, and confirms that this address is yours") && text.contains("/reset#"), "{text}");
        assert_eq!(app.reset(&link, NEW).await, 410, "only the newer link is valid");
        assert_eq!(app.reset(&token_of(&message), NEW).await, 200);
        assert_eq!(app.me(&squatter).await, 401);
        assert_eq!((app.log_in("ann", PASSWORD).await.status.as_u16(), app.log_in("ann", NEW).await.status.as_u16()), (400, 200));
        let answer = app.log_in("ann", NEW).await.json();
        assert_eq!(app.who(answer["token"].as_str().unwrap()).await["email_verified"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_wanted_nobody_logs_in_before_the_email_is_confirmed_r6() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let app = App::start_with(backend, |config| config.registration.require_verified_email = true).await;
        app.register("ann").await;
        let refused = app.log_in("ann", PASSWORD).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused.shape(), @r#"
            403 Forbidden
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"fail","token":"","error":"Confirm your email first: open the link in the email that we sent you."}
            "#);
        }
        assert_eq!(app.log_in("ann", "wrong").await.status, 400, "only a person with the password gets a response");
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        assert_eq!(app.log_in("ann", PASSWORD).await.status, 200);
    }
}

on_both! {
    async fn a_right_password_before_the_email_is_confirmed_is_no_failure_r92(app: App) {
        let mut config = app.config.clone();
        config.registration.require_verified_email = true;
        let app = app.restart_with(config).await;
        app.register("ann").await;
        for _ in 0..8 {
            assert_eq!(app.log_in("ann", PASSWORD).await.status, 403);
        }
        let link = token_of(&app.deliver_one().await);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
    }
}

on_both! {
    async fn the_page_asks_whether_a_link_works_and_uses_nothing_up_r58(app: App) {
        app.register("ann").await;
        let link = token_of(&app.deliver_one().await);
        let works = async |link: &str| app.send("/fn/check_link", json!({ "token": link })).await.json();
        assert_eq!((works(&link).await, works(&link).await), (json!(true), json!(true)));
        assert_eq!(works("vsl_").await, false);
        assert_eq!(app.verify(&link, PASSWORD).await, 200);
        assert_eq!(works(&link).await, false);
    }
}
