//! The folder of scheduled backups. The name of each holds the time at which it was begun, in UTC.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::file::{BackupFile, target_of};
use crate::{
    domain::time::Timestamp,
    store::{
        draft::Nonce,
        files::{NO_LINK, sync_folder_of},
    },
};

/// What stands between the database's name and the time. Only files whose whole name has this form are deleted.
const MARK: &str = "-auto-";
const SUFFIX: &str = ".db";

/// The scheduled backups of one database.
#[derive(Clone, Debug)]
pub struct BackupFolder {
    path: PathBuf,
    /// What their names begin with.
    prefix: String,
}

impl BackupFolder {
    /// The backups in a folder of the database with a path, such as `vestibule-auto-20261128T030000Z.db`.
    #[must_use]
    pub fn new(path: PathBuf, database: &Path) -> Self {
        let name = database.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        Self { path, prefix: name + MARK }
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file of a backup, and the folder if it doesn't exist. Removes unfinished backups of killed processes.
    ///
    /// # Errors
    /// A message, if the folder can't be written.
    pub fn create(&self, time: Timestamp, nonce: Nonce) -> Result<BackupFile, String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|cause| format!("the folder {} can't be created: {cause}", self.path.display()))?;
        self.remove_leftovers();
        BackupFile::create(&self.path.join(self.name(time)), nonce)
    }

    /// When the newest backup was begun. One in the future was made before the clock was set back, and doesn't count.
    ///
    /// # Errors
    /// If the folder can't be read. A missing one is empty.
    pub fn newest(&self, now: Timestamp) -> io::Result<Option<Timestamp>> {
        Ok(self.times()?.into_iter().filter(|time| *time <= now).max())
    }

    /// Deletes the oldest backups beyond a number. Returns their names. Those in the future, made before the clock was set
    /// back, neither count nor are deleted: they would displace every new one.
    ///
    /// # Errors
    /// The first one that can't be deleted.
    pub fn prune(&self, keep: usize, now: Timestamp) -> io::Result<Vec<String>> {
        let mut times = self.times()?;
        times.retain(|time| *time <= now);
        times.sort_unstable_by(|one, other| other.cmp(one));
        let mut deleted = Vec::new();
        for time in times.into_iter().skip(keep) {
            let name = self.name(time);
            fs::remove_file(self.path.join(&name))?;
            deleted.push(name);
        }
        if !deleted.is_empty() {
            sync_folder_of(&self.path.join(&self.prefix))?;
        }
        Ok(deleted)
    }

    /// The times of all complete backups.
    fn times(&self) -> io::Result<Vec<Timestamp>> {
        let files = self.files()?;
        let is_file = |name: &String| fs::symlink_metadata(self.path.join(name)).is_ok_and(|data| data.is_file());
        Ok(files.into_iter().filter(is_file).filter_map(|name| self.time_of(&name)).collect())
    }

    /// The names of all files in the folder.
    fn files(&self) -> io::Result<Vec<String>> {
        match fs::read_dir(&self.path) {
            Ok(entries) => {
                let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
                names.filter_map(Result::transpose).collect()
            }
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(cause) => Err(cause),
        }
    }

    fn name(&self, time: Timestamp) -> String {
        let time = time.to_rfc3339().replace(['-', ':'], "");
        format!("{}{time}{SUFFIX}", self.prefix)
    }

    /// The time in a file's name, if it has exactly the form of [`BackupFolder::name`].
    fn time_of(&self, name: &str) -> Option<Timestamp> {
        let text = name.strip_prefix(&self.prefix)?.strip_suffix(SUFFIX)?;
        let (date, clock) = text.split_once('T')?;
        let [year, month, day] = [date.get(..4)?, date.get(4..6)?, date.get(6..)?];
        let [hour, minute, second] = [clock.get(..2)?, clock.get(2..4)?, clock.get(4..)?];
        let time = Timestamp::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}"))?;
        (self.name(time) == name).then_some(time)
    }

    /// Removes unfinished scheduled backups that no process has locked.
    fn remove_leftovers(&self) {
        let names = self.files().unwrap_or_default();
        for name in names.iter().filter(|name| target_of(name).is_some_and(|target| self.time_of(target).is_some())) {
            let path = self.path.join(name);
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(NO_LINK | OFlags::NONBLOCK.bits().cast_signed());
            if options.open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                drop(fs::remove_file(&path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-11-28, 03:15 UTC.
    const NIGHT: Timestamp = Timestamp::from_millis(1_795_835_700_000);

    fn folder() -> (tempfile::TempDir, BackupFolder) {
        let folder = tempfile::tempdir().expect("a folder");
        let backups = BackupFolder::new(folder.path().join("backups"), Path::new("data/vestibule.db"));
        (folder, backups)
    }

    fn names(backups: &BackupFolder) -> Vec<String> {
        let mut names = backups.files().expect("the files");
        names.sort();
        names
    }

    #[test]
    fn a_scheduled_backup_is_named_by_its_time() {
        let (_folder, backups) = folder();
        assert_eq!(backups.newest(NIGHT).expect("a folder that doesn't exist"), None);
        backups.create(NIGHT, [1; 8]).expect("created").finish().expect("named");
        assert_eq!(names(&backups), ["vestibule-auto-20261128T031500Z.db"]);
        assert_eq!(backups.newest(NIGHT).expect("the newest"), Some(NIGHT));
        assert_eq!(backups.newest(NIGHT.minus(Duration::from_secs(1))).expect("the newest"), None, "in the future");
        assert!(backups.create(NIGHT, [2; 8]).expect_err("taken").contains("already exists"));
    }

    #[test]
    fn only_scheduled_backups_of_the_database_are_deleted() {
        let (_folder, backups) = folder();
        for hours in 0..4 {
            let time = NIGHT.plus(Duration::from_hours(hours));
            backups.create(time, [1; 8]).expect("created").finish().expect("named");
        }
        let kept = [
            "vestibule-auto-20261128T031500Z.db.gz",
            "vestibule-auto-20261128T031560Z.db",
            "vestibule-auto-20261328T031500Z.db",
            "vestibule-auto-2026-11-28.db",
            "vestibule-auto-.db",
            "vestibule-backup.db",
            "other-auto-20261128T031500Z.db",
            "vestibule.db",
        ];
        for name in kept {
            fs::write(backups.path().join(name), "x").expect("written");
        }
        let outside = backups.path().join("vestibule.db");
        std::os::unix::fs::symlink(outside, backups.path().join("vestibule-auto-20250101T000000Z.db")).expect("a link");
        let now = NIGHT.plus(Duration::from_hours(3));
        let deleted = backups.prune(2, now).expect("deleted");
        assert_eq!(deleted, ["vestibule-auto-20261128T041500Z.db", "vestibule-auto-20261128T031500Z.db"]);
        let mut left = kept.map(str::to_owned).to_vec();
        left.extend(
            ["20250101T000000Z", "20261128T051500Z", "20261128T061500Z"].map(|t| format!("vestibule-auto-{t}.db")),
        );
        left.sort();
        assert_eq!(names(&backups), left);
        assert_eq!(backups.prune(2, now).expect("none").len(), 0);
    }

    #[test]
    fn backups_of_the_future_displace_no_new_one() {
        let (_folder, backups) = folder();
        for hours in [0, 1, 50, 60] {
            let time = NIGHT.plus(Duration::from_hours(hours));
            backups.create(time, [1; 8]).expect("created").finish().expect("named");
        }
        let deleted = backups.prune(1, NIGHT.plus(Duration::from_hours(1))).expect("deleted");
        assert_eq!(deleted, ["vestibule-auto-20261128T031500Z.db"]);
        assert_eq!(names(&backups).len(), 3);
    }

    #[test]
    fn leftovers_of_killed_processes_are_removed_and_no_other_file() {
        let (_folder, backups) = folder();
        let running = backups.create(NIGHT, [1; 8]).expect("created");
        let leftover = "vestibule-auto-20261127T031500Z.db.0123456789abcdef.part";
        let kept = ["vestibule-backup.db.0123456789abcdef.part", "vestibule-auto-20261127T031500Z.db.part"];
        for name in kept.iter().chain([&leftover]) {
            fs::write(backups.path().join(name), "x").expect("written");
        }
        assert_eq!(backups.newest(NIGHT).expect("the newest"), None, "none is complete");
        drop(backups.create(NIGHT.plus(Duration::from_secs(1)), [2; 8]).expect("created"));
        let mut left = kept.map(str::to_owned).to_vec();
        left.push("vestibule-auto-20261128T031500Z.db.0101010101010101.part".to_owned());
        left.sort();
        assert_eq!(names(&backups), left);
        running.finish().expect("named");
        assert_eq!(backups.newest(NIGHT).expect("the newest"), Some(NIGHT));
    }
}
