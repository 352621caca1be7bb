//! The service driven side by side with a model of it, by scripts that chance writes, on both databases.

mod own;
mod rules;
mod step;
mod throttle;

use std::{net::IpAddr, time::Duration};

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use vestibule::{
    domain::{
        token::{Kind, Token},
        username::Username,
    },
    error::AppError,
    service::{
        Caller, PasswordChange, Registration, TokenWish,
        admin::{Command, Reply},
    },
};

use self::{
    rules::{Model, Numbers},
    step::{Act, Answer, By, MOMENT, Person, Phrase, Script, Step, scripts},
};
use crate::util::{App, Backend, figure, some_address};

const NUMBERS: Numbers = Numbers {
    idle: Duration::from_hours(4),
    absolute: Duration::from_hours(24),
    sessions: 2,
    free_failures: 3,
    first_delay: Duration::from_secs(1),
    longest_delay: Duration::from_mins(15),
    memory: Duration::from_hours(24),
    seen_interval: Duration::from_mins(1),
    proof: Duration::from_mins(10),
    access: Duration::from_hours(24),
};

/// The real service, the tokens of the logins that succeeded, and personal access tokens.
struct Real {
    app: App,
    tokens: Vec<Token>,
    access: Vec<Token>,
}

impl Real {
    async fn start(backend: Backend) -> Self {
        let app = App::start_with(backend, |config| {
            config.session.idle = NUMBERS.idle;
            config.session.absolute = NUMBERS.absolute;
            config.session.per_user = NUMBERS.sessions.try_into().unwrap();
            config.throttle.account_free_failures = NUMBERS.free_failures;
            config.throttle.account_delay = NUMBERS.first_delay;
            config.throttle.account_max_delay = NUMBERS.longest_delay;
            config.throttle.account_memory = NUMBERS.memory;
            // As cheap as argon2 can be: the rules are what is looked at here.
            (config.password.argon2_memory_kib, config.password.argon2_iterations) = (8, 1);
        });
        Self { app: app.await, tokens: vec![], access: vec![] }
    }

    async fn take(&mut self, step: Step) -> Answer {
        self.app.clock.advance(MOMENT);
        match step {
            Step::Register { email, username, password } => {
                let (email, username) = (email.email(), username.username());
                let new = Registration::parse(Some(&email), Some(&username), Some(password.text())).unwrap();
                told(self.app.service.register(&caller(), new).await.map(|_| Answer::Done))
            }
            Step::LogIn { by, who, password } => {
                let name = if by == By::Email { who.email() } else { who.username() };
                let sign_in = self.app.service.log_in(&caller(), &name, password.text()).await;
                told(sign_in.map(|sign_in| {
                    self.tokens.push(Token::parse(Kind::Session, &sign_in.token).unwrap());
                    Answer::Is(Person::named(&sign_in.identity.account.username))
                }))
            }
            Step::Check { since } => {
                let Some(token) = self.tokens.iter().rev().nth(since) else { return Answer::Ended };
                let session = self.app.service.authenticate(token).await;
                // On PostgreSQL the use of a session is known once it is written.
                self.app.upkeep.as_mut().unwrap().flush().await;
                told(session.map(|session| Answer::Is(Person::named(&session.user.username))))
            }
            Step::LogOut { since } => {
                let Some(token) = self.tokens.iter().rev().nth(since) else { return Answer::Ended };
                told(self.app.service.log_out(token).await.map(|()| Answer::Done))
            }
            Step::Own { since, act } => {
                let done = self.act(since, act).await;
                self.app.upkeep.as_mut().unwrap().flush().await;
                told(done)
            }
            Step::Show { since } => {
                let Some(token) = self.access.iter().rev().nth(since) else { return Answer::Ended };
                let bearing = self.app.service.identify(token).await;
                told(bearing.map(|bearing| Answer::Is(Person::named(&bearing.user().username))))
            }
            Step::Disable(who) => self.command(Command::Disable { who: who.username() }).await,
            Step::Enable(who) => self.command(Command::Enable { who: who.username() }).await,
            Step::SetPassword(who, phrase) => self.set_password(who, phrase).await,
            Step::Revoke(who) => self.command(Command::RevokeSessions { who: who.username() }).await,
            Step::Wait(span) => {
                self.app.clock.advance(span.duration());
                Answer::Done
            }
            Step::Sweep => {
                self.app.upkeep.as_mut().unwrap().sweep_all().await.unwrap();
                Answer::Done
            }
            Step::Restart => Answer::Done,
        }
    }

    async fn act(&mut self, since: usize, act: Act) -> Result<Answer, vestibule::service::Error> {
        let nth = self.tokens.len().checked_sub(since + 1).ok_or(AppError::SessionEnded)?;
        let (service, token) = (&self.app.service, self.tokens[nth].clone());
        match act {
            Act::Prove(phrase) => {
                self.tokens[nth] = service.confirm_password(&caller(), &token, phrase.text()).await?.token;
            }
            Act::ChangePassword { current, new } => {
                let change = PasswordChange::parse(Some(current.text()), Some(new.text())).unwrap();
                self.tokens[nth] = service.change_password(&caller(), &token, change).await?.token;
            }
            Act::Rename(name) => {
                let (proven, name) = (service.prove(&token).await?, Username::parse(&name.username()).unwrap());
                service.change_username(&caller(), &proven, &name).await?;
            }
            Act::EndOthers => drop(service.end_other_sessions(&service.prove(&token).await?).await?),
            Act::Issue => {
                let wish = TokenWish::parse(Some("model"), Some("full"), Some(1)).unwrap();
                let made = service.issue_access_token(&service.prove(&token).await?, wish).await?;
                self.access.push(made.token);
            }
            Act::Leave => {
                let proven = service.prove(&token).await?;
                let name = proven.session().user.username.clone();
                service.delete_account(&proven, &name).await?;
            }
        }
        Ok(Answer::Done)
    }

    async fn set_password(&self, who: Person, phrase: Phrase) -> Answer {
        self.command(Command::SetPassword { who: who.username(), password: phrase.text().to_owned() }).await
    }

    async fn command(&self, command: Command) -> Answer {
        match self.app.service.administer(command).await {
            Reply::Done { .. } => Answer::Done,
            Reply::NoSuchUser => Answer::NoSuchUser,
            other => panic!("{other:?}"),
        }
    }

    async fn restart(self) -> Self {
        Self { app: self.app.restart().await, ..self }
    }
}

/// Somebody at an address of their own, so that only the account's throttle holds them back.
fn caller() -> Caller {
    Caller { address: some_address().parse::<IpAddr>().unwrap(), agent: "model".to_owned() }
}

fn told(outcome: Result<Answer, vestibule::service::Error>) -> Answer {
    match outcome.map_err(AppError::from) {
        Ok(answer) => answer,
        Err(AppError::Taken) => Answer::Taken,
        Err(AppError::BadCredentials | AppError::WrongPassword) => Answer::Wrong,
        Err(AppError::Throttled { retry_after }) => Answer::Wait(retry_after.into()),
        Err(AppError::SessionEnded) => Answer::Ended,
        Err(AppError::ReauthRequired) => Answer::Unproven,
        Err(AppError::Invalid(_)) => Answer::Invalid,
        Err(other) => panic!("{other:?}"),
    }
}

/// Plays a script on both. The first step where they differ, if there is one.
async fn play(backend: Backend, script: &Script) -> Result<(), String> {
    let (mut real, mut model) = (Real::start(backend).await, Model::new(NUMBERS));
    for (n, step) in script.0.iter().enumerate() {
        if matches!(step, Step::Restart) {
            real = real.restart().await;
        }
        let (expected, found) = (model.take(*step), real.take(*step).await);
        if found != expected {
            return Err(format!("step {n}, {step:?}: {expected:?} was expected, {found:?} came"));
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
    check(Backend::Sqlite, 64, 1, 80);
}

#[test]
fn the_service_does_on_postgres_what_its_model_does() {
    check(Backend::Postgres, 64, 1, 80);
}

#[test]
#[ignore = "long: make chaos"]
#[expect(clippy::disallowed_methods, reason = "chance is what is wanted here")]
fn chaos_model() {
    let seed = rand::random();
    println!("\nseed {seed}");
    for backend in [Backend::Sqlite, Backend::Postgres] {
        check(backend, 1_000, seed, 120);
        figure(&format!("{backend:?}: 1,000 scripts of up to 120 steps, and the service does what its model does"));
    }
}
