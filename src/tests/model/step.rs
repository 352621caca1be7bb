//! What may be done, and how a script of it is made and told.

use std::{fmt, time::Duration};

use proptest::{collection::vec, prelude::*};

/// The time that each step takes, so that no two logins are of the same age.
pub const MOMENT: Duration = Duration::from_millis(1);

/// Three people, so that they meet often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Person {
    Ann,
    Bob,
    Cyd,
}

impl Person {
    /// Who is called so.
    pub fn named(username: &str) -> Self {
        [Self::Ann, Self::Bob, Self::Cyd].into_iter().find(|person| person.username() == username).unwrap()
    }

    pub fn username(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn email(self) -> String {
        format!("{}@example.org", self.username())
    }
}

/// What somebody logs in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Email,
    Username,
}

/// A password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phrase {
    Kettle,
    Lantern,
}

impl Phrase {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Kettle => "tidal marmot kettle",
            Self::Lantern => "walrus orchard lantern",
        }
    }
}

/// Times that lie close to the rules' own.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    Second,
    Minute,
    QuarterOfAnHour,
    JustUnderIdle,
    Idle,
    Day,
}

impl Span {
    pub const fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::QuarterOfAnHour => Duration::from_mins(15),
            Self::JustUnderIdle => Duration::from_secs(4 * 60 * 60 - 1),
            // With the moments that this step and the next one take, exactly as long as a session lasts.
            Self::Idle => Duration::from_millis(4 * 60 * 60 * 1000 - 2),
            Self::Day => Duration::from_millis(24 * 60 * 60 * 1000 - 2),
        }
    }
}

/// Something that is done. A login is called by how many have succeeded since.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Register {
        email: Person,
        username: Person,
        password: Phrase,
    },
    LogIn {
        by: By,
        who: Person,
        password: Phrase,
    },
    Check {
        since: usize,
    },
    LogOut {
        since: usize,
    },
    /// Something that somebody does with their own account, in the session of a login.
    Own {
        since: usize,
        act: Act,
    },
    /// A personal access token is shown. It is called by how many were made since.
    Show {
        since: usize,
    },
    Disable(Person),
    Enable(Person),
    SetPassword(Person, Phrase),
    Revoke(Person),
    Wait(Span),
    Restart,
    Sweep,
}

/// What somebody does with their own account.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Prove(Phrase),
    ChangePassword {
        current: Phrase,
        new: Phrase,
    },
    Rename(Person),
    EndOthers,
    /// Makes a personal access token.
    Issue,
    Leave,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Done, and by whom.
    Is(Person),
    Taken,
    Wrong,
    /// For so many seconds.
    Wait(u128),
    Ended,
    /// The password was proven too long ago.
    Unproven,
    Invalid,
    NoSuchUser,
}

/// Steps, told as a list.
#[derive(Clone)]
pub struct Script(pub Vec<Step>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, step)| write!(f, "\n  {n}. {step:?}"))
    }
}

/// Scripts of up to `longest` steps. They shrink to the fewest and simplest that still fail.
pub fn scripts(longest: usize) -> impl Strategy<Value = Script> {
    vec(step(), 1..=longest).prop_map(Script)
}

fn person() -> impl Strategy<Value = Person> {
    prop_oneof![8 => Just(Person::Ann), 2 => Just(Person::Bob), 1 => Just(Person::Cyd)]
}

fn phrase() -> impl Strategy<Value = Phrase> {
    prop_oneof![4 => Just(Phrase::Kettle), 1 => Just(Phrase::Lantern)]
}

fn act() -> impl Strategy<Value = Act> {
    let pair = prop_oneof![
        Just((Phrase::Kettle, Phrase::Lantern)),
        Just((Phrase::Lantern, Phrase::Kettle)),
        (phrase(), phrase())
    ];
    prop_oneof![
        4 => phrase().prop_map(Act::Prove),
        2 => pair.prop_map(|(current, new)| Act::ChangePassword { current, new }),
        // Anybody alike, so that names are taken.
        3 => prop_oneof![Just(Person::Ann), Just(Person::Bob), Just(Person::Cyd)].prop_map(Act::Rename),
        2 => Just(Act::EndOthers),
        6 => Just(Act::Issue),
        1 => Just(Act::Leave),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let by = prop_oneof![Just(By::Email), Just(By::Username)];
    let span = prop_oneof![
        3 => Just(Span::Second),
        3 => Just(Span::Minute),
        2 => Just(Span::QuarterOfAnHour),
        1 => Just(Span::JustUnderIdle),
        1 => Just(Span::Idle),
        1 => Just(Span::Day),
    ];
    // The same person for both names, most of the time: then the others exist, too.
    let register = prop_oneof![4 => person().prop_map(|who| (who, who)), 1 => (person(), person())];
    prop_oneof![
        6 => (register, phrase()).prop_map(|((email, username), password)| Step::Register { email, username, password }),
        30 => (by, person(), phrase()).prop_map(|(by, who, password)| Step::LogIn { by, who, password }),
        12 => (0..4_usize).prop_map(|since| Step::Check { since }),
        2 => (0..4_usize).prop_map(|since| Step::LogOut { since }),
        16 => (0..2_usize, act()).prop_map(|(since, act)| Step::Own { since, act }),
        6 => (0..2_usize).prop_map(|since| Step::Show { since }),
        1 => person().prop_map(Step::Disable),
        3 => person().prop_map(Step::Enable),
        1 => (person(), phrase()).prop_map(|(who, phrase)| Step::SetPassword(who, phrase)),
        1 => person().prop_map(Step::Revoke),
        5 => span.prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::Sweep),
    ]
}
