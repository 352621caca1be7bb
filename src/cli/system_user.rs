//! The system's user who runs a command, for the audit trail.

use std::fs;

/// The name of the user who started this process, or their number if there is no name. Behind `sudo`, the name of the
/// user who ran it.
///
/// The thread of a command may have switched to another user, but the process's first thread has not.
pub fn name() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let Some(user) = user_of(&status) else { return "unknown".to_owned() };
    let sudo = std::env::var("SUDO_USER").ok().filter(|name| user == "0" && is_name(name));
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    sudo.or_else(|| name_of(&passwd, user)).unwrap_or_else(|| user.to_owned())
}

/// The real user in proc(5)'s `status`.
fn user_of(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()
}

/// The name of a user in passwd(5).
fn name_of(passwd: &str, user: &str) -> Option<String> {
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = users.find(|fields| fields.get(2) == Some(&user))?;
    found.first().map(|name| (*name).to_owned()).filter(|name| is_name(name))
}

/// Whether a text may be a user's name, so that nothing else reaches the audit trail.
fn is_name(text: &str) -> bool {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '$');
    !text.is_empty() && text.len() <= 64 && text.chars().all(is_usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_system_knows() {
        assert_eq!(user_of("Name:\tvestibule\nUid:\t1000\t1001\t1001\t1001\n"), Some("1000"));
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:Ann:/home/ann:/bin/sh\n:x:7::::\n";
        assert_eq!(name_of(passwd, "1000").as_deref(), Some("ann"));
        assert_eq!((name_of(passwd, "7"), name_of(passwd, "8"), name_of("", "0")), (None, None, None));
    }

    #[test]
    fn a_name_from_the_environment_is_checked() {
        assert!(is_name("ann.smith-2"));
        for bad in ["", "a b", "ann@example.org", "ann\n", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
