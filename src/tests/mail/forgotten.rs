//! A forgotten password.

use super::*;

on_both! {
    async fn a_forgotten_password_is_chosen_anew_by_mail_r55_r57(app: App) {
        app.register_confirmed("ann").await;
        let (here, there) = (app.token("ann").await, app.token("ann").await);
        let link = app.reset_link("ann").await;
        assert_eq!((app.me(&here).await.as_u16(), app.log_in("ann", PASSWORD).await.status.as_u16()), (200, 200), "a request changes nothing");
        assert_eq!((app.reset(&link, "ann@example.org").await, app.reset(&link, "short").await), (400, 400), "it still works");
        let done = app.send(RESET, json!({ "token": link, "new_password": NEW })).await;
        assert_eq!((done.status.as_u16(), done.json()), (200, json!({ "status": "ok" })), "the link creates no session");
        assert_eq!((app.me(&here).await.as_u16(), app.me(&there).await.as_u16()), (401, 401));
        assert_eq!((app.log_in("ann", PASSWORD).await.status.as_u16(), app.log_in("ann", NEW).await.status.as_u16()), (400, 200));
        assert_eq!(app.reset(&link, PASSWORD).await, 410);
        let notice = app.deliver_one().await;
        assert_eq!((notice.to.as_str(), notice.subject.as_str()), ("ann@example.org", "Your password at Vestibule was changed"));
        assert!(notice.to_text().contains("22 November 2026, 12:00 UTC"), "{}", notice.to_text());
    }
}

on_both! {
    async fn a_password_of_two_characters_uses_no_link_up_r16_r84(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        let periodic = "12".repeat(20);
        let by_page = json!({ "token": link, "new_password": periodic });
        let page = app.send("/fn/reset_password", by_page).await;
        assert_eq!((app.reset(&link, &periodic).await, page.status.as_u16()), (400, 400), "{}", page.text);
        assert_eq!(app.reset(&link, NEW).await, 200);
    }
}

on_both! {
    async fn a_link_to_a_new_password_is_void_once_it_is_old_or_overtaken_r55(app: App) {
        app.register_confirmed("ann").await;
        let old = app.reset_link("ann").await;
        app.clock.advance(Duration::from_mins(30));
        assert_eq!(app.reset(&old, NEW).await, 410);
        let (first, second) = (app.reset_link("ann").await, app.reset_link("ann").await);
        assert_eq!(app.reset(&first, NEW).await, 410, "a newer link");
        let body = json!({ "current_password": PASSWORD, "new_password": NEW });
        assert_eq!(app.ask("POST", CHANGE_PASSWORD, &app.token("ann").await, &body).await.status, 200);
        assert_eq!(app.reset(&second, PASSWORD).await, 410, "another password");
        assert_eq!(app.deliver_one().await.subject, "Your password at Vestibule was changed");
        let third = app.reset_link("ann").await;
        let token = app.new_token("ann").await;
        let moved = app.email_link(&token, "new@example.org").await;
        assert_eq!(app.confirm_email_with(&moved, NEW).await, 200);
        assert_eq!(app.reset(&third, PASSWORD).await, 410, "another email");
    }
}

on_both! {
    async fn whoever_forgets_the_password_of_an_unconfirmed_account_learns_what_it_is_r6(app: App) {
        app.register("ann").await;
        app.deliver().await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let unproven = app.deliver_one().await;
        assert!(unproven.to_text().contains("locks out the person who created the account"), "{}", unproven.to_text());
        assert_eq!(app.reset(&token_of(&unproven), NEW).await, 200);
        app.deliver().await;
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        let proven = app.deliver_one().await.to_text();
        assert!(!proven.contains("locks out") && proven.contains("Your password stays the same"), "{proven}");
    }
}

on_both! {
    async fn fifty_who_follow_one_link_at_once_succeed_once_r55(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        let servers = match app.backend {
            Backend::Sqlite => vec![&app],
            Backend::Postgres => vec![&app, Box::leak(Box::new(app.sibling().await)), Box::leak(Box::new(app.sibling().await))],
        };
        let following = (0..50).map(|at| {
            let (server, password) = (servers[at % servers.len()], format!("{NEW} {at}"));
            let link = &link;
            async move {
                loop {
                    match server.reset(link, &password).await {
                        // The queue for hashing is full.
                        503 => tokio::time::sleep(Duration::from_millis(50)).await,
                        status => return status,
                    }
                }
            }
        });
        let statuses = futures_util::future::join_all(following).await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 410].contains(status)), "{statuses:?}");
        assert_eq!(app.deliver().await.len(), 1);
    }
}

on_both! {
    async fn whoever_asks_learns_nothing_of_who_has_an_account_r56(app: App) {
        app.register_confirmed("ann").await;
        app.register("bob").await;
        app.deliver().await;
        let known = app.forgot("ann@example.org").await;
        let answers = [app.forgot("bob@example.org").await, app.forgot("nobody@example.org").await];
        insta::allow_duplicates! {
            insta::assert_snapshot!(known.shape(), @r#"
            200 OK
            cache-control: no-store
            content-type: application/json; charset=utf-8
            vary: Authorization, Origin, Sec-Fetch-Site
            {"status":"ok","response":"If there is an account with this email, a mail is on its way."}
            "#);
        }
        for answer in answers {
            assert_eq!(answer.shape(), known.shape());
        }
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert_eq!(app.forgot("ann@example.org").await.shape(), known.shape(), "also while mail can't be sent");
        let addressees: Vec<String> = app.deliver().await.into_iter().map(|message| message.to).collect();
        assert!(addressees.is_empty(), "{addressees:?}");
    }
}

on_both! {
    async fn mail_goes_to_the_one_address_that_is_kept_r54(app: App) {
        app.register_confirmed("ann").await;
        assert_eq!(app.forgot(" ANN@example.ORG ").await.status, 200);
        assert_eq!(app.deliver_one().await.to, "ann@example.org");
        let hostile = [
            json!(["ann@example.org", "eve@example.org"]),
            json!({ "0": "ann@example.org" }),
            json!("ann@example.org,eve@example.org"),
            json!("ann@example.org\r\nBcc: eve@example.org"),
            json!("ann@example.org\0eve@example.org"),
            json!("\"ann@example.org\"@example.net"),
            json!("ann@example.org@eve.example"),
            json!(null),
            json!(7),
        ];
        for email in hostile {
            let answer = app.send(FORGOT, json!({ "email": email })).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (400, &json!("invalid")), "{email}");
        }
        assert_eq!(app.forgot("änn@example.org").await.status, 400, "a similar address isn't hers");
        assert!(app.deliver().await.is_empty());
    }
}

on_both! {
    async fn no_request_decides_where_a_link_leads_r53(app: App) {
        app.register_confirmed("ann").await;
        let headers = [
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "host=evil.example;proto=https"),
            ("x-forwarded-proto", "gopher"),
            ("x-original-host", "evil.example"),
            ("referer", "https://evil.example/"),
            ("x-http-host-override", "evil.example"),
        ];
        for (name, value) in headers {
            let call = app.post(FORGOT, &json!({ "email": "ann@example.org" })).from(&some_address());
            assert_eq!(call.header(name, value).send().await.status, 200);
            let text = app.deliver_one().await.to_text();
            assert!(text.contains("http://127.0.0.1:8000/reset#vsl_") && !text.contains("evil"), "{text}");
            app.clock.advance(Duration::from_mins(10));
        }
        let call = app.post(FORGOT, &json!({ "email": "ann@example.org" })).replace_host("evil.example");
        assert_eq!(call.send().await.status, 421);
    }
}

on_both! {
    async fn a_mailbox_gets_only_so_many_mails_that_somebody_asked_for_r56(app: App) {
        app.register_confirmed("ann").await;
        for _ in 0..20 {
            assert_eq!(app.forgot("ann@example.org").await.status, 200);
        }
        // The mail of the registration is one of them.
        assert_eq!(app.deliver().await.len(), 4);
        app.clock.advance(Duration::from_mins(10));
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        assert_eq!(app.deliver().await.len(), 1);
        let address = some_address();
        let ask = async || app.post(FORGOT, &json!({ "email": "x@example.org" })).from(&address).send().await.status.as_u16();
        let mut answers = Vec::new();
        for _ in 0..7 {
            answers.push(ask().await);
        }
        assert_eq!(answers, [200, 200, 200, 200, 200, 429, 429]);
    }
}

on_both! {
    async fn a_mail_that_is_tried_again_is_not_counted_again_r56(app: App) {
        app.register_confirmed("ann").await;
        for _ in 0..3 {
            app.reset_link("ann").await;
        }
        app.mail_capture.broken.store(true, Ordering::SeqCst);
        assert_eq!(app.forgot("ann@example.org").await.status, 200);
        assert!(app.deliver().await.is_empty(), "the fifth of five");
        app.mail_capture.broken.store(false, Ordering::SeqCst);
        app.clock.advance(Duration::from_secs(30));
        assert_eq!(app.deliver().await.len(), 1);
    }
}

on_both! {
    async fn what_strangers_bring_about_uses_up_no_link_that_an_owner_needs_r56(app: App) {
        app.register_confirmed("ann").await;
        for at in 0..6 {
            let name = format!("eve{at}");
            app.register(&name).await;
            let asked = app.ask("POST", CHANGE_EMAIL, &app.token(&name).await, &json!({ "new_email": "ann@example.org" })).await;
            assert_eq!(asked.status, 200);
        }
        let to_ann = app.deliver().await.into_iter().filter(|message| message.to == "ann@example.org").count();
        assert_eq!(to_ann, 6, "as many as for any other email");
        app.reset_link("ann").await;
    }
}

on_both! {
    async fn an_unproven_mailbox_is_spared_notices_as_well_r56(app: App) {
        app.register("ann").await;
        let mut token = app.token("ann").await;
        app.deliver().await;
        let mut old = PASSWORD.to_owned();
        for at in 0..8 {
            let new = format!("{NEW} {at}");
            let body = json!({ "current_password": old, "new_password": new });
            let changed = app.ask("POST", CHANGE_PASSWORD, &token, &body).await;
            assert_eq!(changed.status, 200, "{}", changed.text);
            changed.json()["token"].as_str().unwrap().clone_into(&mut token);
            old = new;
        }
        assert_eq!(app.deliver().await.len(), 5);
    }
}

on_both! {
    async fn a_clock_that_was_put_back_neither_lengthens_a_link_nor_keeps_anybody_from_another_r99(app: App) {
        let year = Duration::from_hours(24 * 365);
        app.register_confirmed("ann").await;
        app.clock.advance(year);
        let early = app.reset_link("ann").await;
        app.clock.go_back(year);
        assert_eq!(app.reset(&early, NEW).await, 410);
        let link = app.reset_link("ann").await;
        assert_eq!(app.reset(&early, NEW).await, 410);
        assert_eq!(app.reset(&link, NEW).await, 200);
    }
}

on_both! {
    async fn a_link_whose_time_is_over_comes_not_back_with_the_clock_r99(app: App) {
        app.register_confirmed("ann").await;
        let link = app.reset_link("ann").await;
        app.clock.advance(Duration::from_mins(30));
        assert_eq!(app.reset(&link, NEW).await, 410);
        app.clock.go_back(Duration::from_mins(29));
        assert_eq!(app.reset(&link, NEW).await, 410);
    }
}
