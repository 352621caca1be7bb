//! Runs each operation that ends a session beside each that renews its token, with a stop between check and change.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures_util::future::BoxFuture;
use vestibule::{
    domain::{
        requests::{BecomeAdmin, ChangePassword, NewAccessToken, Parse, PasswordChange, SetPassword},
        role::Role,
        token::{Token, TokenKind},
        username::Username,
    },
    error::AppError,
    mail::MailUrl,
    service::{
        Error, Service,
        admin::{Command, Reply},
    },
    store::{ActiveSessions, Authority},
};

use crate::util::{
    App, Backend, NEW, PASSWORD, actors::Client, caller, macros::both, mail_capture::token_of, operator,
};

both! {
    an_ended_session_stays_ended_beside_a_renewal_r41,
    a_renewed_token_is_refused_everywhere_r17,
}

const OTHER: &str = "copper thimble avalanche";

/// An account with two sessions and a link to a new password.
#[derive(Clone)]
struct Scene {
    name: String,
    user: String,
    /// The session that one operation ends and the other renews.
    here: Token,
    here_id: String,
    there: Token,
    link: Token,
    /// The link that makes the first admin.
    setup_link: Token,
}

/// An operation, and whether it was acknowledged.
type Operation<T> = fn(Service, Scene) -> BoxFuture<'static, Result<T, Error>>;

fn change_to(new: &str) -> PasswordChange {
    let (current_password, new_password) = (PASSWORD.into(), new.into());
    ChangePassword { current_password, new_password, revoke_access_tokens: false }.parse().unwrap()
}

/// The operations that end the session `here`.
const ENDINGS: [(&str, Operation<()>); 14] = [
    ("logout", |service, scene| {
        Box::pin(async move { service.log_out(&caller(), &service.authenticate_for_write(&scene.here).await?).await })
    }),
    ("ending it from another session", |service, scene| {
        Box::pin(async move {
            service.end_session(&caller(), &service.require_reauth(&scene.there).await?, &scene.here_id).await
        })
    }),
    ("ending all others", |service, scene| {
        Box::pin(async move {
            service.end_other_sessions(&caller(), &service.require_reauth(&scene.there).await?).await.map(drop)
        })
    }),
    ("deletion", |service, scene| {
        Box::pin(async move {
            service.delete_account(&caller(), &service.require_reauth(&scene.there).await?, &scene.name).await
        })
    }),
    ("deletion in the session itself", |service, scene| {
        Box::pin(async move {
            service.delete_account(&caller(), &service.require_reauth(&scene.here).await?, &scene.name).await
        })
    }),
    ("a new password elsewhere", |service, scene| {
        Box::pin(async move {
            let session = service.authenticate(&scene.there).await?;
            service.change_password(&caller(), &session, change_to(OTHER)).await.map(drop)
        })
    }),
    ("a new password by mail", |service, scene| {
        Box::pin(async move {
            let new = SetPassword { token: scene.link.expose().into(), new_password: OTHER.into() };
            service.reset_password(&caller(), new.parse()?).await.map(drop)
        })
    }),
    ("the operator's new password", |service, scene| {
        run_admin_command(service, Command::SetPassword { who: scene.name, password: OTHER.to_owned() })
    }),
    ("the operator's revoking", |service, scene| {
        run_admin_command(service, Command::RevokeSessions { who: scene.name })
    }),
    ("disabling", |service, scene| run_admin_command(service, Command::Disable { who: scene.name, force: false })),
    ("the operator's deletion", |service, scene| {
        run_admin_command(service, Command::Delete { who: scene.name, force: false })
    }),
    ("a role", |service, scene| {
        Box::pin(async move {
            run_admin_command(service.clone(), Command::Confirm { who: scene.name.clone() }).await?;
            run_admin_command(service, Command::SetRole { who: scene.name, role: Some(Role::Admin), force: false })
                .await
        })
    }),
    ("becoming the first admin", |service, scene| {
        Box::pin(async move {
            let session = service.authenticate(&scene.there).await?;
            let request = BecomeAdmin { token: scene.setup_link.expose().into(), password: PASSWORD.into() };
            service.become_first_admin(&caller(), &session, request.parse()?).await.map(drop)
        })
    }),
    ("a login past the limit of sessions", |service, scene| {
        Box::pin(async move { service.log_in(&caller(), &scene.name, PASSWORD).await.map(drop) })
    }),
];

/// The operations that give the session `here` another token.
const RENEWALS: [(&str, Operation<Token>); 2] = [
    ("confirming the password", |service, scene| {
        Box::pin(async move {
            let session = service.authenticate(&scene.here).await?;
            Ok(service.confirm_password(&caller(), &session, PASSWORD).await?.token)
        })
    }),
    ("changing the password", |service, scene| {
        Box::pin(async move {
            let session = service.authenticate(&scene.here).await?;
            Ok(service.change_password(&caller(), &session, change_to(NEW)).await?.token)
        })
    }),
];

fn run_admin_command(service: Service, command: Command) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(async move {
        match service.run_admin_command(operator(), command).await {
            Reply::Refused { error } => Err(error.into()),
            Reply::NoSuchUser => panic!("no such account"),
            _ => Ok(()),
        }
    })
}

/// Restarts the server as one that sends mail and allows two sessions.
async fn restart(app: App) -> App {
    app.restart_changed(|config| {
        config.mail.url = MailUrl::parse("smtp://localhost").unwrap();
        config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
        config.session.per_user = 2;
    })
    .await
}

async fn set(app: &App, name: String) -> Scene {
    app.deliver().await;
    let user = app.register(&name).await;
    let link = Token::parse(TokenKind::Link, &token_of(&app.deliver_one().await)).unwrap();
    let here = user.log_in().await;
    // A login past the limit ends the oldest session, so `here` must be older than `there`.
    app.clock.advance(Duration::from_secs(1));
    let there = user.log_in().await;
    let session = app.service.authenticate(&here.session_token()).await.unwrap();
    // An admin of an earlier scene would void the link.
    for admin in app.store.list_operators().await.unwrap() {
        app.store.disable_user(Authority::Operator { user: admin.user.id }, true, app.stamp()).await.unwrap();
    }
    let setup_link = app.service.create_setup_link(operator()).await.unwrap().unwrap();
    Scene {
        name,
        user: session.user.id.clone(),
        here: here.session_token(),
        here_id: session.id.clone(),
        there: there.session_token(),
        link,
        setup_link,
    }
}

/// Checks that a session has ended: none of its tokens may be valid.
async fn expect_ended(servers: [&App; 2], scene: &Scene, renewed: Option<&Token>, what: &str) {
    let kept = servers[0].store.list_sessions(&scene.user, ActiveSessions::ALL).await.unwrap();
    assert!(kept.iter().all(|session| session.id != scene.here_id), "{what}: the session still exists");
    for server in servers {
        for token in [Some(&scene.here), renewed].into_iter().flatten() {
            let outcome = server.service.authenticate(token).await;
            assert_eq!(
                outcome.map(drop).map_err(AppError::from),
                Err(AppError::SessionEnded),
                "{what}: a token is still valid"
            );
        }
    }
}

/// Runs `second` while `first` is stopped, once for each place where it can stop. Passes both outcomes to `judge`.
/// Returns the number of places.
async fn at_each_stop<A: Send + 'static, B: Send + 'static>(
    app: &App,
    other: &App,
    (first_name, first): (&str, Operation<A>),
    (second_name, second): (&str, Operation<B>),
    mut judge: impl AsyncFnMut(Scene, Result<A, Error>, Result<B, Error>, String),
) -> usize {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut stop = 0;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let scene = set(app, format!("ann{number}")).await;
        let operation = app.clock.gate.begin(stop, first(app.service.clone(), scene.clone())).await;
        if !operation.stopped {
            operation.end().await.ok();
            return stop;
        }
        let between = second(other.service.clone(), scene.clone()).await;
        let outcome = operation.end().await;
        judge(scene, outcome, between, format!("{second_name} within {first_name}, stopped at {stop}")).await;
        stop += 1;
    }
}

async fn an_ended_session_stays_ended_beside_a_renewal_r41(app: App) {
    let app = restart(app).await;
    // A SQLite file is locked by one server, so both apps are the same there.
    let sibling = if app.backend == Backend::Postgres { Some(app.sibling().await) } else { None };
    let other = sibling.as_ref().unwrap_or(&app);
    for (ending, end) in ENDINGS {
        for (renewal, renew) in RENEWALS {
            let mut acknowledged = 0;
            let stops = Box::pin(at_each_stop(
                &app,
                other,
                (ending, end),
                (renewal, renew),
                async |scene, ended, renewed, what| {
                    if ended.is_ok() {
                        acknowledged += 1;
                        expect_ended([&app, other], &scene, renewed.ok().as_ref(), &what).await;
                    }
                },
            ))
            .await;
            assert!(stops > 0, "{ending} was never stopped");
            let stops = Box::pin(at_each_stop(
                &app,
                other,
                (renewal, renew),
                (ending, end),
                async |scene, renewed, ended, what| {
                    if ended.is_ok() {
                        acknowledged += 1;
                        expect_ended([&app, other], &scene, renewed.ok().as_ref(), &what).await;
                    }
                },
            ))
            .await;
            assert!(stops > 3, "{renewal} was stopped at {stops} places");
            assert!(acknowledged > 0, "{ending} was never acknowledged beside {renewal}");
        }
    }
}

async fn a_renewed_token_is_refused_everywhere_r17(app: App) {
    let mut phone = app.register("ann").await.log_in().await;
    // This check of the session precedes its renewal.
    let proven = app.service.require_reauth(&phone.session_token()).await.unwrap();
    phone.confirm_password().await;
    let username = Username::parse("annie").unwrap();
    let request = NewAccessToken { name: "a script".into(), scope: "full".into(), days: 1.into() };
    let outcomes = [
        app.service.change_username(&caller(), &proven, &username).await.map(drop),
        app.service.end_other_sessions(&caller(), &proven).await.map(drop),
        app.service.end_session(&caller(), &proven, &proven.session().id).await,
        app.service.issue_access_token(&caller(), &proven, request.parse().unwrap()).await.map(drop),
        app.service.delete_account(&caller(), &proven, "ann").await,
    ];
    for outcome in outcomes {
        assert_eq!(outcome.map_err(AppError::from), Err(AppError::SessionEnded));
    }
    assert_eq!(phone.me().await["username"], "ann");
    assert!(phone.access_tokens().await.is_empty());
}
