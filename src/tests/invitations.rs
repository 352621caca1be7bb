//! Invitations to register, on both databases.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use vestibule::{
    domain::{
        email_domain::EmailDomain,
        invitation::{InvitationRequest, Uses},
    },
    error::{AppError, Field, Problem},
    mail::MailUrl,
    server::config::Config,
    service::{
        RegistrationMode,
        admin::{Command, GroupAction, InvitationAction, Reply},
        invitations::{InvitationLine, InvitationState},
        restore::RestoreOptions,
    },
};

use crate::util::{App, PASSWORD, Request, actors::Client, macros::both, mail_capture::token_of, operator};

both! {
    an_invitation_opens_registration_in_every_mode_r143_r144,
    an_invitation_with_five_uses_makes_five_accounts_r143,
    a_bound_invitation_admits_only_its_email_r143,
    a_sent_invitation_confirms_the_email_and_logs_in_r143,
    a_revoked_used_or_expired_invitation_admits_nobody_r143,
    a_failed_registration_takes_no_use_r143,
    uses_of_an_invitation_reveal_no_account_r2_r143,
    an_invited_account_joins_the_groups_r143,
    a_restore_revokes_every_invitation_r107_r143,
    an_invitation_obeys_the_domain_rules_r10,
    invalid_invitations_are_rate_limited_r143,
    an_invitation_that_can_not_work_is_not_created,
    invitations_are_listed_with_their_state_for_a_month,
    a_mail_of_a_revoked_invitation_is_not_sent,
    the_page_invites_instead_of_offering_registration_r144,
}

fn only_invited(config: &mut Config) {
    config.registration.mode = RegistrationMode::Invite;
}

fn sends(config: &mut Config) {
    only_invited(config);
    config.mail.url = MailUrl::parse("smtp://127.0.0.1:9").unwrap();
    config.server.public_url = Some("https://accounts.example.org".parse().unwrap());
}

fn request(email: Option<&str>, uses: u32) -> InvitationRequest {
    InvitationRequest {
        email: email.map(str::to_owned),
        uses: Uses::try_from(uses).unwrap(),
        days: "7".parse().unwrap(),
        groups: Vec::new(),
        note: "for the workshop".parse().unwrap(),
        send: false,
    }
}

impl App {
    async fn invitation(&self, action: InvitationAction) -> Reply {
        self.administer(Command::Invitation { action }).await
    }

    async fn try_invite(&self, request: InvitationRequest) -> Reply {
        self.invitation(InvitationAction::Add { request }).await
    }

    /// Creates an invitation and returns its identifier and its token.
    async fn invite(&self, request: InvitationRequest) -> (String, String) {
        match self.try_invite(request).await {
            Reply::Invited { id, link: Some(link), .. } => (id, link.token),
            other => panic!("no link: {other:?}"),
        }
    }

    /// Sends an invitation and returns the token in the mail.
    async fn send_invitation(&self, email: &str) -> String {
        let reply = self.try_invite(InvitationRequest { send: true, ..request(Some(email), 1) }).await;
        assert!(matches!(reply, Reply::Invited { link: None, .. }), "{reply:?}");
        let mail = self.deliver_one().await;
        assert_eq!((mail.to.as_str(), mail.subject.as_str()), (email, "You are invited to Vestibule"));
        token_of(&mail)
    }

    async fn invitations(&self) -> Vec<InvitationLine> {
        match self.invitation(InvitationAction::List { after: String::new() }).await {
            Reply::Invitations { invitations } => invitations,
            other => panic!("no list: {other:?}"),
        }
    }

    fn register_with(&self, path: &str, name: &str, invitation: impl Into<Value>) -> Request {
        let email = format!("{name}@example.org");
        let body = json!({
            "email": email, "username": name, "password": PASSWORD, "invitation": invitation.into()
        });
        self.post(path, &body).with_fresh_address()
    }
}

const PATHS: [&str; 2] = ["api_register/", "/fn/register"];

async fn an_invitation_opens_registration_in_every_mode_r143_r144(mut app: App) {
    for (mode, refused) in [
        (RegistrationMode::Invite, Some("invitation_required")),
        (RegistrationMode::Closed, Some("registration_closed")),
        (RegistrationMode::Open, None),
    ] {
        app = app.restart_changed(|config| config.registration.mode = mode).await;
        for (at, path) in PATHS.into_iter().enumerate() {
            let name = format!("{mode:?}{at}").to_lowercase();
            if let Some(code) = refused {
                let stranger = app.register_with(path, &name, Value::Null).await;
                stranger.assert_status(403);
                if path == "/fn/register" {
                    stranger.assert_code(code);
                }
            }
            let (_, token) = app.invite(request(None, 1)).await;
            app.register_with(path, &name, token).await.assert_status(200);
            app.user(&name).assert_can_log_in(PASSWORD).await;
        }
    }
}

async fn an_invitation_with_five_uses_makes_five_accounts_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (id, token) = app.invite(request(None, 5)).await;
    let names: Vec<String> = (0..20).map(|at| format!("guest{at}")).collect();
    let responses = join_all(names.iter().map(|name| app.register_with("api_register/", name, &*token).send())).await;
    let mut statuses: Vec<u16> = responses.iter().map(|response| response.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 5].as_slice(), &[410; 15]].concat());
    let Reply::Users { users } = app.administer(Command::List { after: String::new() }).await else {
        panic!("no list")
    };
    assert_eq!(users.len(), 5);
    let line = app.invitations().await.remove(0);
    assert_eq!((line.id, line.uses, line.uses_left, line.state), (id, 5, 0, InvitationState::Used));
}

async fn a_bound_invitation_admits_only_its_email_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (_, token) = app.invite(request(Some("Ann@example.org"), 1)).await;
    let page = app.register_with("/fn/register", "eve", &*token).await;
    page.assert_status(400).assert_contains("email_not_invited");
    let checked = app.post("/fn/check_link", &json!({ "token": &token })).await;
    assert_eq!(checked.assert_status(200).json(), json!({ "email": "Ann@example.org" }));
    app.register_with("/fn/register", "ann", token).await.assert_status(200);
    // The link was shown, so it proves nothing about the email.
    let phone = app.user("ann").log_in().await;
    assert_eq!(phone.me().await["email_verified"], false);
}

async fn a_sent_invitation_confirms_the_email_and_logs_in_r143(app: App) {
    let app = app.restart_changed(sends).await;
    let token = app.send_invitation("ann@example.org").await;
    let registered = app.register_with("/fn/register", "ann", token).await;
    let session = registered.assert_status(200).json();
    assert_eq!(session["account"]["email_verified"], true);
    let token = session["login"]["token"].as_str().unwrap();
    assert_eq!(app.device(token).me().await["username"], "ann");
    // No mail asks to confirm the email.
    app.assert_no_mail().await;
}

async fn a_revoked_used_or_expired_invitation_admits_nobody_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (revoked, revoked_token) = app.invite(request(None, 3)).await;
    let (_, used) = app.invite(request(None, 1)).await;
    let (_, expired) = app.invite(request(None, 1)).await;
    assert_eq!(app.invitation(InvitationAction::Revoke { id: revoked.clone() }).await, Reply::InvitationRevoked);
    assert_eq!(app.invitation(InvitationAction::Revoke { id: revoked }).await, Reply::NoSuchInvitation);
    app.register_with("api_register/", "ann", &*used).await.assert_status(200);
    for other in [json!({}), json!(1), json!([])] {
        app.register_with("/fn/register", "eve", other).await.assert_status(410).assert_code("invitation_invalid");
    }
    let refuse = async |token: &str| {
        app.register_with("/fn/register", "eve", token).await.assert_status(410).assert_code("invitation_invalid");
        let checked = app.post("/fn/check_link", &json!({ "token": token })).with_fresh_address().await;
        assert_eq!(checked.assert_status(200).json(), Value::Null);
    };
    for token in [&*revoked_token, &used, "vsi_", "vsl_0", ""] {
        refuse(token).await;
    }
    app.clock.advance(Duration::from_hours(24 * 7));
    refuse(&expired).await;
    app.user("eve").assert_cannot_log_in(PASSWORD).await;
}

async fn a_failed_registration_takes_no_use_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (_, token) = app.invite(request(None, 2)).await;
    app.register_with("api_register/", "ann", &*token).await.assert_status(200);
    app.register_with("/fn/register", "ann", &*token).await.assert_status(409).assert_code("taken");
    let weak = json!({ "email": "bob@example.org", "username": "bob", "password": "password", "invitation": &token });
    app.post("/fn/register", &weak).await.assert_status(400);
    assert_eq!(app.invitations().await[0].uses_left, 1);
    app.register_with("api_register/", "bob", token).await.assert_status(200);
}

async fn uses_of_an_invitation_reveal_no_account_r2_r143(app: App) {
    let app = app.restart_changed(sends).await;
    let ann = app.send_invitation("ann@example.org").await;
    app.register_with("api_register/", "ann", ann).await.assert_status(200);
    let mut outcomes = Vec::new();
    for email in ["ann@example.org", "new@example.org"] {
        let (_, token) = app.invite(request(None, 1)).await;
        let body = json!({ "email": email, "username": "eve", "password": PASSWORD, "invitation": &token });
        let response = app.post("api_register/", &body).with_fresh_address().await;
        // A second attempt with the same link must not show whether the first one made an account.
        let second = app.register_with("api_register/", "eve2", token).await;
        outcomes.push((response.shape(), second.shape()));
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

async fn an_invited_account_joins_the_groups_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    for name in ["Editors", "staff"] {
        let action = GroupAction::Add { name: name.to_owned() };
        app.administer(Command::Group { action }).await;
    }
    let groups = vec!["staff".to_owned(), "editors".to_owned()];
    let (_, token) = app.invite(InvitationRequest { groups, ..request(None, 2) }).await;
    assert_eq!(app.invitations().await[0].groups, ["Editors", "staff"]);
    let registered = app.register_with("/fn/register", "ann", &*token).await.assert_status(200).json();
    assert_eq!(registered["account"]["groups"], json!(["Editors", "staff"]));
    assert_eq!(app.user("ann").log_in().await.me().await["groups"], json!(["Editors", "staff"]));
    let delete = GroupAction::Delete { name: "staff".to_owned(), force: true };
    app.administer(Command::Group { action: delete }).await;
    app.register_with("/fn/register", "bob", token).await.assert_status(200);
    assert_eq!(app.user("bob").log_in().await.me().await["groups"], json!(["Editors"]));
}

/// Some may have been used or revoked since the backup.
async fn a_restore_revokes_every_invitation_r107_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (_, token) = app.invite(request(None, 2)).await;
    app.service.revoke_after_restore(operator(), RestoreOptions::default()).await.unwrap();
    app.register_with("/fn/register", "eve", token).await.assert_status(410).assert_code("invitation_invalid");
    assert_eq!(app.invitations().await, []);
}

async fn an_invitation_obeys_the_domain_rules_r10(app: App) {
    let domain = EmailDomain::parse("example.org").unwrap();
    let (_, token) = app.invite(request(None, 1)).await;
    let app = app.restart_changed(|config| config.registration.allowed_domains = vec![domain]).await;
    let body = json!({ "email": "eve@example.com", "username": "eve", "password": PASSWORD, "invitation": token });
    let response = app.post("/fn/register", &body).await;
    response.assert_status(400).assert_contains("email_domain_not_allowed");
    let refused = app.try_invite(request(Some("eve@example.com"), 1)).await;
    assert!(matches!(refused, Reply::Refused { error: AppError::Invalid(_) }), "{refused:?}");
}

async fn invalid_invitations_are_rate_limited_r143(app: App) {
    let app = app.restart_changed(only_invited).await;
    let (id, token) = app.invite(request(None, 1)).await;
    app.invitation(InvitationAction::Revoke { id }).await;
    let mut statuses = Vec::new();
    for _ in 0..61 {
        let body = json!({ "email": "", "username": "", "password": "", "invitation": &token });
        statuses.push(app.post("api_register/", &body).await.status.as_u16());
    }
    assert_eq!(statuses, [[410; 60].as_slice(), &[429]].concat());
}

async fn an_invitation_that_can_not_work_is_not_created(app: App) {
    app.register("ann").await;
    let refused = |error: AppError| Reply::Refused { error };
    let invalid = |field, problem| refused(AppError::invalid(field, problem));
    let taken = app.try_invite(request(Some("ANN@example.org"), 1)).await;
    assert_eq!(taken, refused(AppError::Taken));
    let nowhere = app.try_invite(request(Some("ann"), 1)).await;
    assert_eq!(nowhere, invalid(Field::Email, Problem::EmailShape));
    let groups = vec!["a,b".to_owned()];
    let unnamed = app.try_invite(InvitationRequest { groups, ..request(None, 1) }).await;
    assert_eq!(unnamed, invalid(Field::Name, Problem::GroupNameCharacter));
    let groups = vec!["missing".to_owned()];
    assert_eq!(app.try_invite(InvitationRequest { groups, ..request(None, 1) }).await, Reply::NoSuchGroup);
    let app = app.restart_changed(|config| config.mail.url = MailUrl::Off).await;
    let sent = app.try_invite(InvitationRequest { send: true, ..request(Some("bob@example.org"), 1) }).await;
    assert_eq!(sent, refused(AppError::MailOff));
    assert_eq!(app.invitations().await, []);
}

async fn invitations_are_listed_with_their_state_for_a_month(mut app: App) {
    let (first, _) = app.invite(request(Some("ann@example.org"), 1)).await;
    app.clock.advance(Duration::from_secs(1));
    let (second, _) = app.invite(request(None, 9)).await;
    let lines = app.invitations().await;
    let short = |line: &InvitationLine| (line.id.clone(), line.email.clone(), line.uses, line.state);
    let expected = [
        (first, Some("ann@example.org".to_owned()), 1, InvitationState::Valid),
        (second, None, 9, InvitationState::Valid),
    ];
    assert_eq!(lines.iter().map(short).collect::<Vec<_>>(), expected);
    assert!(lines.iter().all(|line| line.note == "for the workshop" && !line.sent));
    app.clock.advance(Duration::from_hours(24 * 8));
    assert!(app.invitations().await.iter().all(|line| line.state == InvitationState::Expired));
    app.clock.advance(Duration::from_hours(24 * 30));
    app.maintenance.as_mut().unwrap().sweep_all().await.unwrap();
    assert_eq!(app.invitations().await, []);
}

async fn a_mail_of_a_revoked_invitation_is_not_sent(app: App) {
    let app = app.restart_changed(sends).await;
    let reply = app.try_invite(InvitationRequest { send: true, ..request(Some("ann@example.org"), 1) }).await;
    let Reply::Invited { id, .. } = reply else { panic!("no invitation: {reply:?}") };
    app.invitation(InvitationAction::Revoke { id }).await;
    app.assert_no_mail().await;
}

async fn the_page_invites_instead_of_offering_registration_r144(app: App) {
    let app = app.restart_changed(only_invited).await;
    let register = app.get("/register").await;
    register.assert_contains("You need an invitation").assert_not_contains("<form");
    app.get("/login").await.assert_not_contains("href=\"/register\"");
    app.get("/invite").await.assert_status(200);
}
