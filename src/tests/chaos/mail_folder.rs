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
const MAIL_TIMEOUT: Duration = Duration::from_millis(500);

pub struct MailFolder {
    folder: PathBuf,
    arrived: Mutex<Arrived>,
}

#[derive(Default)]
struct Arrived {
    files: BTreeSet<OsString>,
    /// By address, in the order in which they were found.
    messages: HashMap<String, Vec<Message>>,
}

#[derive(Clone)]
struct Message {
    subject: String,
    link: Option<String>,
}

impl MailFolder {
    /// The mail folder of a server that runs in the folder `server`.
    pub fn new(server: &Path) -> Self {
        Self { folder: server.join("mail"), arrived: Mutex::default() }
    }

    /// The link in the newest mail of a kind, if one arrives.
    pub fn link(&self, address: &str, subject: &str) -> Option<String> {
        let given_up = Instant::now() + MAIL_TIMEOUT;
        loop {
            let found = self.messages(address).into_iter().rev().find(|message| message.subject.starts_with(subject));
            if found.is_some() || Instant::now() > given_up {
                return found?.link;
            }
            pause(Duration::from_millis(5));
        }
    }

    /// Whether a mail of a kind has arrived.
    pub fn has(&self, address: &str, subject: &str) -> bool {
        self.messages(address).iter().any(|message| message.subject.starts_with(subject))
    }

    fn messages(&self, address: &str) -> Vec<Message> {
        let mut arrived = self.arrived.lock().unwrap();
        // The folder doesn't exist before the first mail.
        let files = fs::read_dir(&self.folder).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        let whole = files.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "eml"));
        let new: BTreeSet<OsString> = whole.filter(|name| !arrived.files.contains(name)).collect();
        for name in new {
            let (to, message) = read(&fs::read_to_string(self.folder.join(&name)).unwrap());
            arrived.messages.entry(to).or_default().push(message);
            arrived.files.insert(name);
        }
        arrived.messages.get(address).cloned().unwrap_or_default()
    }
}

fn read(text: &str) -> (String, Message) {
    let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let link = text.lines().find_map(|line| Some(line.split_once("#vsl_")?.1));
    (header("To: "), Message { subject: header("Subject: "), link: link.map(|rest| format!("vsl_{rest}")) })
}
