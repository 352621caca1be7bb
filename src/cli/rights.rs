//! Whose rights a command has: never more than it needs.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, geteuid, set_dumpable_behavior, setrlimit, umask},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// Makes everything that this process makes private from its first moment on: files, folders and sockets.
pub fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Lets this process leave no core dump: passwords and tokens pass through its memory.
///
/// # Errors
/// One line that says what is wrong.
pub fn forbid_core_dumps() -> Result<(), String> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|cause| format!("core dumps can't be turned off: {cause}"))
}

/// As root, takes on the rights of a folder's owner, for good, for this thread and the threads that it starts. The owner might
/// have put links or a configuration there which lead root to other files.
///
/// # Errors
/// One line that says what is wrong.
pub fn become_owner_of(folder: &Path) -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    // A folder that isn't there makes no trouble here; opening the file in it will.
    let Ok(metadata) = fs::metadata(folder) else { return Ok(()) };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .map_err(|cause| format!("the rights of {}'s owner can't be taken on: {cause}", folder.display()))?;
    // A change of the user undoes it where `fs.suid_dumpable` is not 0 (PR_SET_DUMPABLE(2const)).
    forbid_core_dumps()
}
