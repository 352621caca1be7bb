//! The database's files, the space for them, and their backups.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Finding;
use crate::{
    cli::output::full_path,
    domain::time::Timestamp,
    server::{config::Config, name_key},
    service::{NameKey, backups::BackupSettings},
    store::{
        backup::BackupFolder,
        files::{beside, folder_of},
    },
};

/// Less free space than this, in bytes, stops a server soon.
const LITTLE_SPACE: u64 = 64 << 20;
/// A larger write-ahead log, in bytes, was not emptied for a long time. The server empties it at 16 MiB.
const LARGE_LOG: u64 = 256 << 20;

/// Checks the files of a SQLite database. They are not opened, because closing one would release SQLite's locks.
pub fn check(config: &Config, now: Timestamp) -> Vec<Finding> {
    let Some(database) = config.database.url.file() else {
        return vec![Finding::ok("backup", "PostgreSQL has tools of its own: run pg_dump on a schedule")];
    };
    let Ok(metadata) = fs::metadata(database) else { return Vec::new() };
    let log = fs::metadata(beside(database, "-wal")).map_or(0, |log| log.len());
    let mut findings = vec![
        permissions(database, &metadata),
        key_file(database),
        log_size(log),
        space(&folder_of(database), metadata.len() + log),
    ];
    findings.push(match config.backup_settings() {
        Some(settings) => scheduled(&BackupFolder::new(settings.folder.clone(), database), &settings, now),
        None => Finding::look("backup", "there is no schedule: set backup.every, or run `vestibule backup` by a timer"),
    });
    findings
}

fn permissions(database: &Path, of_database: &Metadata) -> Finding {
    let suffixes = ["", "-wal", "-shm", ".lock", ".sock", ".mark", ".key"];
    let files = suffixes.map(|suffix| beside(database, suffix));
    for (path, metadata) in files.iter().filter_map(|path| Some((path, fs::symlink_metadata(path).ok()?))) {
        let name = path.display();
        if metadata.mode() & 0o077 != 0 {
            return Finding::wrong("permissions", format!("others may use {name}: run `chmod 600 {name}`"));
        }
        if metadata.uid() != of_database.uid() {
            let owner = of_database.uid();
            return Finding::wrong("permissions", format!("{name} has another owner: run `chown {owner} {name}`"));
        }
    }
    Finding::ok("permissions", "only their owner may use the database's files")
}

/// The key is not read, only measured.
fn key_file(database: &Path) -> Finding {
    let path = name_key::file_of(database);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() == NameKey::LENGTH as u64 => Finding::ok("key file", "there is one"),
        Ok(_) => Finding::wrong(
            "key file",
            format!("{} has the wrong size: delete it, and the next start makes another one", path.display()),
        ),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Finding::look(
            "key file",
            format!("there is no {}: the next start makes one, and counts of rate limits begin again", path.display()),
        ),
        Err(cause) => Finding::wrong("key file", format!("{}: {cause}. Check its owner.", path.display())),
    }
}

fn log_size(bytes: u64) -> Finding {
    let mib = bytes >> 20;
    if bytes <= LARGE_LOG {
        return Finding::ok("log", format!("the write-ahead log has {mib} MiB"));
    }
    Finding::look(
        "log",
        format!(
            "the write-ahead log has {mib} MiB: another program reads the file all the time, or the server must be restarted"
        ),
    )
}

fn space(folder: &Path, database: u64) -> Finding {
    let Ok(system) = rustix::fs::statvfs(folder) else {
        return Finding::wrong("disk", format!("{} can't be examined", folder.display()));
    };
    judge_space(folder, system.f_bavail.saturating_mul(system.f_frsize), database)
}

/// A backup, and rewriting the file after accounts were deleted, need a copy each.
fn judge_space(folder: &Path, free: u64, database: u64) -> Finding {
    let (mib, folder) = (free >> 20, full_path(folder));
    if free < LITTLE_SPACE {
        return Finding::wrong(
            "disk",
            format!("{mib} MiB are free in {folder}: make space, or the server stops writing"),
        );
    }
    if free < database.saturating_mul(2) {
        let needed = database.saturating_mul(2) >> 20;
        return Finding::look("disk", format!("{mib} MiB are free in {folder}, and a backup needs up to {needed} MiB"));
    }
    Finding::ok("disk", format!("{mib} MiB are free in {folder}"))
}

fn scheduled(folder: &BackupFolder, settings: &BackupSettings, now: Timestamp) -> Finding {
    let path: PathBuf = folder.path().to_owned();
    let path = path.display();
    let last = match folder.newest(now) {
        Ok(last) => last,
        Err(cause) => return Finding::wrong("backup", format!("{path} can't be read: {cause}. Check its owner.")),
    };
    let Some(last) = last else {
        return Finding::look("backup", format!("there is none in {path} yet: a running server makes one at once"));
    };
    let age = Duration::from_secs(now.since(last).as_secs());
    let text = humantime::format_duration(age);
    if age > settings.every.saturating_mul(2) {
        return Finding::wrong("backup", format!("the last one in {path} is {text} old: see the server's log"));
    }
    Finding::ok("backup", format!("the last one in {path} is {text} old"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::cli::doctor::Status;

    #[test]
    fn free_space_is_compared_with_the_size_of_the_database() {
        let status = |free, database| judge_space(Path::new("."), free, database).status;
        assert_eq!(status(LITTLE_SPACE - 1, 1), Status::Wrong);
        assert_eq!(status(LITTLE_SPACE, LITTLE_SPACE), Status::Look);
        assert_eq!(status(LITTLE_SPACE * 2, LITTLE_SPACE), Status::Ok);
        assert_eq!((log_size(LARGE_LOG).status, log_size(LARGE_LOG + 1).status), (Status::Ok, Status::Look));
    }

    #[test]
    fn a_backup_older_than_twice_its_interval_is_wrong() {
        let parent = tempfile::tempdir().expect("a folder");
        let (day, now) = (Duration::from_hours(24), Timestamp::from_millis(1_795_348_800_000));
        let settings = BackupSettings { every: day, folder: parent.path().join("backups"), keep: 1 };
        let folder = BackupFolder::new(settings.folder.clone(), Path::new("vestibule.db"));
        let status = |now| scheduled(&folder, &settings, now).status;
        assert_eq!(status(now), Status::Look);
        folder.create(now, [1; 8]).expect("created").finish().expect("named");
        assert_eq!([now, now.plus(day * 2)].map(status), [Status::Ok; 2]);
        assert_eq!(status(now.plus(day * 2 + Duration::from_secs(1))), Status::Wrong);
    }

    #[test]
    fn a_file_that_others_may_read_is_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("vestibule.db");
        let set = |name: &Path, mode| {
            fs::write(name, [0; NameKey::LENGTH]).expect("written");
            fs::set_permissions(name, fs::Permissions::from_mode(mode)).expect("set");
        };
        set(&database, 0o600);
        let status = || permissions(&database, &fs::metadata(&database).expect("metadata")).status;
        assert_eq!((status(), key_file(&database).status), (Status::Ok, Status::Look));
        set(&beside(&database, ".key"), 0o600);
        assert_eq!((status(), key_file(&database).status), (Status::Ok, Status::Ok));
        set(&beside(&database, "-wal"), 0o640);
        assert_eq!(status(), Status::Wrong);
    }
}
