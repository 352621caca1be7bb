//! The mail that a server has written into its folder.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use super::pause;

/// How long a client waits for a mail. The server may have been killed while it sent the mail.
const SESSION_TIMEOUT: Duration = Duration::from_millis(500);

pub struct Mailroom {
    folder: PathBuf,
    arrived: Mutex<Arrived>,
}

#[derive(Default)]
struct Arrived {
    files: BTreeSet<OsString>,
    /// By address, in the order in which they were found.
    letters: HashMap<String, Vec<Letter>>,
}

#[derive(Clone)]
struct Letter {
    subject: String,
    link: Option<String>,
}

impl Mailroom {
    /// The mail folder of a server that runs in the folder `server`.
    pub fn new(server: &Path) -> Self {
        Self { folder: server.join("mail"), arrived: Mutex::default() }
    }

    /// The link in the newest mail of a kind, if one arrives.
    pub fn link(&self, address: &str, subject: &str) -> Option<String> {
        let given_up = Instant::now() + SESSION_TIMEOUT;
        loop {
            let found = self.letters(address).into_iter().rev().find(|letter| letter.subject.starts_with(subject));
            if found.is_some() || Instant::now() > given_up {
                return found?.link;
            }
            pause(Duration::from_millis(5));
        }
    }

    /// Whether a mail of a kind has arrived.
    pub fn has(&self, address: &str, subject: &str) -> bool {
        self.letters(address).iter().any(|letter| letter.subject.starts_with(subject))
    }

    fn letters(&self, address: &str) -> Vec<Letter> {
        let mut arrived = self.arrived.lock().unwrap();
        // The folder doesn't exist before the first mail.
        let files = fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let whole = files.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "eml"));
        let new: BTreeSet<OsString> = whole.filter(|name| !arrived.files.contains(name)).collect();
        for name in new {
            let (to, letter) = read(&fs::read_to_string(self.folder.join(&name)).unwrap());
            arrived.letters.entry(to).or_default().push(letter);
            arrived.files.insert(name);
        }
        arrived.letters.get(address).cloned().unwrap_or_default()
    }
}

fn read(text: &str) -> (String, Letter) {
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let link = text.lines().find_map(|line| Some(line.split_once("#vsl_")?.1));
    (header("To: "), Letter { subject: header("Subject: "), link: link.map(|rest| format!("vsl_{rest}")) })
}
