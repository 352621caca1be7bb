//! Compares the service with a model of it, by randomly generated scripts, on both databases.

mod account;
mod mail;
mod numbers;
mod rules;
mod step;

use std::{net::IpAddr, sync::atomic::Ordering};

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use strum::VariantArray;
use vestibule::{
    domain::{
        email::Email,
        event::Via,
        requests::{ChangePassword, Lenient, NewAccessToken, Parse, Register, SetPassword},
        token::{Token, TokenKind},
        username::Username,
    },
    error::AppError,
    mail::MailUrl,
    service::{
        self, Caller, MailMessage, Proven, Service,
        admin::{self, Reply},
    },
    store::{LinkKind, MailKind},
};

use self::{
    rules::Model,
    step::{By, Command, Event, MOMENT, Operation, Outcome, Person, Phrase, Place, Script, Step, Use, scripts},
};
use crate::util::{App, Backend, figure, mail_capture::token_of, operator, some_address};

/// The real service, with every token that it returned or mailed.
struct Real {
    app: App,
    tokens: Vec<Token>,
    access: Vec<Token>,
    links: Vec<Token>,
    /// The address from which somebody last followed a link or changed a password.
    follower: Option<IpAddr>,
}

impl Real {
    async fn start(backend: Backend) -> Self {
        let app = App::start_with(backend, |config| {
            config.mail.url = MailUrl::parse("smtp://localhost").unwrap();
            config.session.idle = numbers::IDLE;
            config.session.max_lifetime = numbers::ABSOLUTE;
            config.session.per_user = numbers::SESSIONS.try_into().unwrap();
            config.rate_limit.account_free_failures = numbers::FREE_FAILURES.try_into().unwrap();
            config.rate_limit.account_delay = numbers::FIRST_DELAY;
            config.rate_limit.account_max_delay = numbers::LONGEST_DELAY;
            config.rate_limit.account_reset_after = numbers::MEMORY;
            // The scripts reuse a few addresses, and test only the rate limits of accounts.
            config.rate_limit.login_burst = 1_000_000;
        });
        Self { app: app.await, tokens: vec![], access: vec![], links: vec![], follower: None }
    }

    async fn take(&mut self, step: Step) -> Outcome {
        self.app.clock.advance(MOMENT);
        let done = self.try_to(step).await;
        // On PostgreSQL, the use of a session is visible only once it is written.
        self.app.maintenance.as_mut().unwrap().flush().await;
        match done.map_err(AppError::from) {
            Ok(answer) => answer,
            Err(AppError::Taken) => Outcome::Taken,
            Err(AppError::BadCredentials | AppError::WrongPassword) => Outcome::Wrong,
            Err(AppError::RateLimited { retry_after }) => Outcome::Wait(retry_after.into()),
            Err(AppError::SessionEnded) => Outcome::Ended,
            Err(AppError::LinkInvalid) => Outcome::LinkInvalid,
            Err(AppError::ReauthRequired) => Outcome::Unproven,
            Err(AppError::Invalid(_)) => Outcome::Invalid,
            Err(other) => panic!("{other:?}"),
        }
    }

    async fn try_to(&mut self, step: Step) -> Result<Outcome, service::Error> {
        let service = &self.app.service;
        match step {
            Step::Register { email, username, password } => {
                let (email, username) = (email.email(), username.username());
                let (email, username, password) = (email.into(), username.into(), password.text().into());
                service
                    .register(
                        &caller(),
                        Register { email, username, password, invitation: Lenient::default() }.parse().unwrap(),
                    )
                    .await?;
            }
            Step::LogIn { by, who, password, from } => {
                let name = if by == By::Email { who.email() } else { who.username() };
                let login = service.log_in(&self.caller_from(from), &name, password.text()).await?;
                self.tokens.push(Token::parse(TokenKind::Session, &login.token).unwrap());
                return Ok(Outcome::Is(Person::named(&login.session.account.username)));
            }
            Step::Check { since } => {
                let session = service.authenticate(nth(&self.tokens, since)?).await?;
                return Ok(Outcome::Is(Person::named(&session.user.username)));
            }
            Step::LogOut { since } => {
                let asking = service.authenticate_for_write(nth(&self.tokens, since)?).await?;
                service.log_out(&caller(), &asking).await?;
            }
            Step::Operate { who, command } => return Ok(operate(service, who, command).await),
            Step::Own { since, act: Operation::Export } => return self.export(since).await,
            Step::Own { since, act } => self.act(since, act).await?,
            Step::Show { since } => {
                let bearing = service.authenticate_any(nth(&self.access, since)?).await?;
                return Ok(Outcome::Is(Person::named(&bearing.user().username)));
            }
            Step::Mail(event) => return self.mail(event).await,
            Step::Wait(span) => self.app.clock.advance(span.duration()),
            Step::Sweep => drop(self.app.maintenance.as_mut().unwrap().sweep_all().await?),
            Step::Restart => {}
        }
        Ok(Outcome::Done)
    }

    async fn act(&mut self, since: usize, act: Operation) -> Result<(), service::Error> {
        let (service, token) = (&self.app.service, nth(&self.tokens, since)?.clone());
        let renewed = match act {
            Operation::Prove(phrase) => {
                let session = service.authenticate(&token).await?;
                service.confirm_password(&caller(), &session, phrase.text()).await?.token
            }
            Operation::ChangePassword { current, new } => {
                let (current_password, new_password) = (current.text().into(), new.text().into());
                let change = ChangePassword { current_password, new_password, revoke_access_tokens: false };
                let caller = caller();
                let session = service.authenticate(&token).await?;
                let renewed = service.change_password(&caller, &session, change.parse().unwrap()).await?.token;
                self.follower = Some(caller.address);
                renewed
            }
            Operation::Resend => {
                let asking = service.authenticate_for_write(&token).await?;
                return service.resend_verification(&caller(), &asking).await;
            }
            act => {
                let proven = service.require_reauth(&token).await?;
                return self.act_proven(&proven, act).await;
            }
        };
        let place = self.tokens.len() - since - 1;
        self.tokens[place] = renewed;
        Ok(())
    }

    async fn act_proven(&mut self, proven: &Proven, act: Operation) -> Result<(), service::Error> {
        let service = &self.app.service;
        match act {
            Operation::Rename(name) => {
                let name = Username::parse(&name.username()).unwrap();
                service.change_username(&caller(), proven, &name).await?;
            }
            Operation::ChangeEmail(new) => {
                let new = Email::parse(&new.email()).unwrap();
                service.change_email(&caller(), proven, &new).await?;
            }
            Operation::EndOthers => drop(service.end_other_sessions(&caller(), proven).await?),
            Operation::Issue => {
                let request = NewAccessToken { name: "model".into(), scope: "full".into(), days: 1.into() };
                self.access.push(service.issue_access_token(&caller(), proven, request.parse().unwrap()).await?.token);
            }
            Operation::Leave => {
                let name = proven.session().user.username.clone();
                service.delete_account(&caller(), proven, &name).await?;
            }
            Operation::Prove(_) | Operation::ChangePassword { .. } | Operation::Resend | Operation::Export => {
                unreachable!("{act:?} is done elsewhere")
            }
        }
        Ok(())
    }

    /// The links that an export lists, without expired ones that no sweep has deleted yet.
    async fn export(&self, since: usize) -> Result<Outcome, service::Error> {
        let proven = self.app.service.require_reauth(nth(&self.tokens, since)?).await?;
        let links = self.app.store.links_of(&proven.session().user.id).await?;
        let now = self.app.now().as_millis();
        let kept = links.iter().filter(|link| link.expires_at > now);
        let kind = |name: &str| LinkKind::VARIANTS.iter().map(|kind| kind.name()).find(|kind| *kind == name).unwrap();
        let mut links: Vec<_> = kept.map(|link| (kind(&link.kind), Person::named(&link.address))).collect();
        links.sort_unstable();
        Ok(Outcome::Links(links))
    }

    async fn mail(&mut self, event: Event) -> Result<Outcome, service::Error> {
        let service = &self.app.service;
        match event {
            Event::Forgot(who) => {
                service.forgot_password(&caller(), &Email::parse(&who.email()).unwrap()).await?;
            }
            Event::Deliver { works } => {
                self.app.mail_capture.broken.store(!works, Ordering::SeqCst);
                let messages = self.app.deliver().await;
                let links = messages.iter().filter(|message| message.to_text().contains('#'));
                self.links.extend(links.map(|message| Token::parse(TokenKind::Link, &token_of(message)).unwrap()));
                return Ok(Outcome::Mail(messages.iter().map(addressed).collect()));
            }
            Event::Follow { since, to } => {
                let link = self.links.iter().rev().nth(since).ok_or(AppError::LinkInvalid)?;
                let new = |phrase: Phrase| {
                    SetPassword { token: link.expose().into(), new_password: phrase.text().into() }.parse().unwrap()
                };
                let caller = caller();
                match to {
                    Use::Verify(phrase) => service.verify_email(&caller, link, phrase.text()).await?,
                    Use::Reset(phrase) => service.reset_password(&caller, new(phrase)).await?,
                    Use::Confirm(phrase) => service.confirm_email(&caller, link, phrase.text()).await?,
                    Use::Undo(phrase) => service.undo_email(&caller, new(phrase)).await?,
                };
                self.follower = Some(caller.address);
            }
        }
        Ok(Outcome::Done)
    }

    fn caller_from(&self, place: Place) -> Caller {
        let address = match place {
            Place::Anywhere => None,
            Place::Home => Some("192.0.2.1".parse().unwrap()),
            Place::Cafe => Some("2001:db8::1".parse().unwrap()),
            Place::Follower => self.follower,
        };
        Caller { address: address.unwrap_or(caller().address), ..caller() }
    }

    async fn restart(self) -> Self {
        Self { app: self.app.restart().await, ..self }
    }
}

async fn operate(service: &Service, who: Person, command: Command) -> Outcome {
    let who = who.username();
    let command = match command {
        Command::Disable => admin::Command::Disable { who, force: false },
        Command::Enable => admin::Command::Enable { who },
        Command::SetPassword(phrase) => admin::Command::SetPassword { who, password: phrase.text().to_owned() },
        Command::Revoke => admin::Command::RevokeSessions { who },
    };
    match service.run_admin_command(operator(), command).await {
        Reply::Done { .. } => Outcome::Done,
        Reply::NoSuchUser => Outcome::NoSuchUser,
        other => panic!("{other:?}"),
    }
}

/// A caller at a fresh address, so that only the account's rate limit applies.
fn caller() -> Caller {
    Caller { address: some_address().parse::<IpAddr>().unwrap(), agent: "model".to_owned(), via: Via::Api }
}

/// The token after which `since` newer ones were returned.
fn nth(tokens: &[Token], since: usize) -> Result<&Token, AppError> {
    tokens.iter().rev().nth(since).ok_or(AppError::SessionEnded)
}

/// The recipient and the kind of a mail.
fn addressed(message: &MailMessage) -> (Person, MailKind) {
    let kind = match message.subject.as_str() {
        "Confirm your email for Vestibule" => MailKind::Verify,
        "You already have an account at Vestibule" => MailKind::Taken,
        "Choose a new password for Vestibule" => MailKind::Forgot,
        "Your password at Vestibule was changed" => MailKind::PasswordChanged,
        "A new access token at Vestibule" => MailKind::AccessTokenCreated,
        "Confirm your new email for Vestibule" => MailKind::ChangeEmail,
        "Your email at Vestibule was changed" => MailKind::EmailChanged,
        "Your email at Vestibule was changed back" => MailKind::EmailUndone,
        other => panic!("{other}"),
    };
    (Person::named(&message.to), kind)
}

/// Runs a script on the service and on the model. Returns an error at the first step where they differ.
async fn play(backend: Backend, script: &Script) -> Result<(), String> {
    let (mut real, mut model) = (Real::start(backend).await, Model::default());
    for (n, step) in script.0.iter().enumerate() {
        if matches!(step, Step::Restart) {
            real = Box::pin(real.restart()).await;
        }
        let (expected, found) = (model.take(*step), Box::pin(real.take(*step)).await);
        if found != expected {
            return Err(format!("step {n}, {step:?}: {expected:?} was expected, {found:?} was returned"));
        }
    }
    real.app.discard().await;
    Ok(())
}

fn check(backend: Backend, cases: u32, seed: u64, longest: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&scripts(longest), |script| {
        runtime.block_on(play(backend, &script)).map_err(proptest::test_runner::TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, script)) => panic!("{why}\nThe shortest script that shows it:{script:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn the_service_does_on_sqlite_what_its_model_does() {
    check(Backend::Sqlite, 64, 1, 60);
}

#[test]
fn the_service_does_on_postgres_what_its_model_does() {
    check(Backend::Postgres, 64, 1, 60);
}

#[test]
#[ignore = "long: make chaos"]
#[expect(clippy::disallowed_methods, reason = "the seed is random on purpose")]
fn chaos_model() {
    let seed = rand::random();
    println!("\nseed {seed}");
    for backend in [Backend::Sqlite, Backend::Postgres] {
        check(backend, 1_000, seed, 80);
        figure(&format!("{backend:?}: 1,000 scripts of up to 80 scenes, and the service does what its model does"));
    }
}
