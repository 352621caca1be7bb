//! The possible steps, and how a script of them is generated and printed.

use std::{fmt, time::Duration};

use proptest::{collection::vec, prelude::*};
use vestibule::store::MailKind;

/// Duration of each step, so that no two logins have the same age.
pub const MOMENT: Duration = Duration::from_millis(1);

/// There are only three people, so that their emails and usernames often collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    Ann,
    Bob,
    Cyd,
}

impl Person {
    /// The person with this username or email.
    pub fn named(name: &str) -> Self {
        let people = [Self::Ann, Self::Bob, Self::Cyd];
        people.into_iter().find(|person| person.username() == name || person.email() == name).unwrap()
    }

    pub fn username(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn email(self) -> String {
        format!("{}@example.org", self.username())
    }
}

/// The kind of name that a login sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    Email,
    Username,
}

/// The network that a login comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A network that was not used before.
    Anywhere,
    Home,
    Cafe,
    /// The network from which somebody last followed a link or changed a password.
    Follower,
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

/// Durations close to the limits of the rules.
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
            // With the two milliseconds of this step and the next one, the time is exactly the limit.
            Self::Idle => Duration::from_millis(4 * 60 * 60 * 1000 - 2),
            Self::Day => Duration::from_millis(24 * 60 * 60 * 1000 - 2),
        }
    }
}

/// A step. It identifies a session by `since`, the number of successful logins after it.
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
        from: Place,
    },
    Check {
        since: usize,
    },
    LogOut {
        since: usize,
    },
    /// An operator's command.
    Operate {
        who: Person,
        command: Command,
    },
    /// An operation on the user's account, in the session of a login.
    Own {
        since: usize,
        act: Operation,
    },
    /// A request with a personal access token. `since` is the number of tokens created after it.
    Show {
        since: usize,
    },
    Mail(Event),
    Wait(Span),
    Restart,
    Sweep,
}

/// What an operator does with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Disable,
    Enable,
    SetPassword(Phrase),
    Revoke,
}

/// What a person does with their account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Prove(Phrase),
    ChangePassword {
        current: Phrase,
        new: Phrase,
    },
    Rename(Person),
    /// Requests a change to the email of one of the three people.
    ChangeEmail(Person),
    /// Requests the confirmation mail again.
    Resend,
    EndOthers,
    /// Exports everything that is stored.
    Export,
    /// Creates a personal access token.
    Issue,
    Leave,
}

/// An event of the mail system.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// A person requests a new password.
    Forgot(Person),
    /// All mail that is due is sent to a mail server, which accepts it or doesn't.
    Deliver { works: bool },
    /// A link is followed. `since` is the number of links that arrived after it.
    Follow { since: usize, to: Use },
}

/// The purpose of following a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Use {
    /// To confirm an account's email, by its password.
    Verify(Phrase),
    /// To set a new password.
    Reset(Phrase),
    /// To change an account's email, by its password.
    Confirm(Phrase),
    /// To restore the former email, with a new password.
    Undo(Phrase),
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Success, as the given person.
    Is(Person),
    /// The recipient and the kind of each mail.
    Mail(Vec<(Person, MailKind)>),
    /// The stored links: the purpose and the recipient of each.
    Links(Vec<(&'static str, Person)>),
    Taken,
    Wrong,
    /// The wait in seconds.
    Wait(u128),
    Ended,
    /// The link is invalid.
    LinkInvalid,
    /// The last proof of the password is too old.
    Unproven,
    Invalid,
    NoSuchUser,
}

/// Steps, printed as a list.
#[derive(Clone)]
pub struct Script(pub Vec<Step>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(n, step)| write!(f, "\n  {n}. {step:?}"))
    }
}

/// Scripts of up to `longest` scenes. A failing script shrinks to the fewest and simplest steps that fail.
pub fn scripts(longest: usize) -> impl Strategy<Value = Script> {
    vec(scene(), 1..=longest).prop_map(|scenes| Script(scenes.concat()))
}

/// A step, or a sequence of steps that random choice would rarely find.
fn scene() -> impl Strategy<Value = Vec<Step>> {
    let log_in = |who, password| Step::LogIn { by: By::Username, who, password, from: Place::Home };
    let deliver = Step::Mail(Event::Deliver { works: true });
    let follow = |since, to| Step::Mail(Event::Follow { since, to });
    let begin =
        move |(who, password)| vec![Step::Register { email: who, username: who, password }, log_in(who, password)];
    let own = move |(who, password, act)| vec![log_in(who, password), Step::Own { since: 0, act }];
    let confirm = move |phrase| vec![deliver, follow(0, Use::Verify(phrase))];
    let forget = move |(who, new)| vec![Step::Mail(Event::Forgot(who)), deliver, follow(0, Use::Reset(new))];
    // Strangers guess. Then a user logs in from a network that may be known.
    let storm = move |(who, password, from, by, guesses)| {
        let guess = Step::LogIn { by, who, password: Phrase::Lantern, from: Place::Anywhere };
        [vec![guess; guesses], vec![Step::LogIn { by: By::Email, who, password, from }]].concat()
    };
    let change = move |(new, phrase)| {
        vec![Step::Own { since: 0, act: Operation::ChangeEmail(new) }, deliver, follow(0, Use::Confirm(phrase))]
    };
    let undo = move |(since, new)| vec![deliver, follow(since, Use::Undo(new))];
    prop_oneof![
        40 => step().prop_map(|step| vec![step]),
        6 => (anybody(), phrase()).prop_map(begin),
        14 => (anybody(), phrase(), act()).prop_map(own),
        6 => phrase().prop_map(confirm),
        3 => (anybody(), phrase()).prop_map(forget),
        6 => (person(), phrase(), place(), by(), 1..6_usize).prop_map(storm),
        14 => (anybody(), phrase()).prop_map(change),
        5 => (0..2_usize, phrase()).prop_map(undo),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        4 => Just(Place::Anywhere),
        4 => Just(Place::Home),
        2 => Just(Place::Cafe),
        2 => Just(Place::Follower),
    ]
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![Just(By::Email), Just(By::Username)]
}

fn person() -> impl Strategy<Value = Person> {
    prop_oneof![8 => Just(Person::Ann), 2 => Just(Person::Bob), 1 => Just(Person::Cyd)]
}

/// Each person has the same probability, so that usernames and emails are often in use.
fn anybody() -> impl Strategy<Value = Person> {
    prop_oneof![Just(Person::Ann), Just(Person::Bob), Just(Person::Cyd)]
}

fn phrase() -> impl Strategy<Value = Phrase> {
    prop_oneof![4 => Just(Phrase::Kettle), 1 => Just(Phrase::Lantern)]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        1 => Just(Command::Disable),
        3 => Just(Command::Enable),
        1 => phrase().prop_map(Command::SetPassword),
        1 => Just(Command::Revoke),
    ]
}

fn act() -> impl Strategy<Value = Operation> {
    let pair = prop_oneof![
        Just((Phrase::Kettle, Phrase::Lantern)),
        Just((Phrase::Lantern, Phrase::Kettle)),
        (phrase(), phrase())
    ];
    prop_oneof![
        4 => phrase().prop_map(Operation::Prove),
        2 => pair.prop_map(|(current, new)| Operation::ChangePassword { current, new }),
        3 => anybody().prop_map(Operation::Rename),
        6 => anybody().prop_map(Operation::ChangeEmail),
        2 => Just(Operation::Resend),
        2 => Just(Operation::EndOthers),
        6 => Just(Operation::Export),
        6 => Just(Operation::Issue),
        1 => Just(Operation::Leave),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let to = prop_oneof![
        4 => phrase().prop_map(Use::Verify),
        3 => phrase().prop_map(Use::Reset),
        4 => phrase().prop_map(Use::Confirm),
        3 => phrase().prop_map(Use::Undo),
    ];
    prop_oneof![
        2 => person().prop_map(Event::Forgot),
        8 => prop_oneof![5 => Just(true), 1 => Just(false)].prop_map(|works| Event::Deliver { works }),
        12 => (prop_oneof![3 => Just(0), 1 => 1..4_usize], to).prop_map(|(since, to)| Event::Follow { since, to }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let span = prop_oneof![
        3 => Just(Span::Second),
        3 => Just(Span::Minute),
        2 => Just(Span::QuarterOfAnHour),
        1 => Just(Span::JustUnderIdle),
        1 => Just(Span::Idle),
        1 => Just(Span::Day),
    ];
    // Both names mostly belong to one person. Otherwise one account would often use the names of two.
    let register = prop_oneof![4 => person().prop_map(|who| (who, who)), 1 => (person(), person())];
    prop_oneof![
        6 => (register, phrase()).prop_map(|((email, username), password)| Step::Register { email, username, password }),
        30 => (by(), person(), phrase(), place())
            .prop_map(|(by, who, password, from)| Step::LogIn { by, who, password, from }),
        12 => (0..4_usize).prop_map(|since| Step::Check { since }),
        2 => (0..4_usize).prop_map(|since| Step::LogOut { since }),
        6 => (person(), command()).prop_map(|(who, command)| Step::Operate { who, command }),
        20 => (0..2_usize, act()).prop_map(|(since, act)| Step::Own { since, act }),
        6 => (0..2_usize).prop_map(|since| Step::Show { since }),
        24 => event().prop_map(Step::Mail),
        5 => span.prop_map(Step::Wait),
        1 => Just(Step::Restart),
        1 => Just(Step::Sweep),
    ]
}
