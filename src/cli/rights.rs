//! The privileges of a command: never more than it needs.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::Mode,
    process::{DumpableBehavior, Gid, Resource, Rlimit, Uid, geteuid, set_dumpable_behavior, setrlimit, umask},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// Sets the umask so that every file, folder and socket that this process creates is private from the start.
pub fn keep_files_private() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Disables core dumps of this process, because its memory holds passwords and tokens.
pub fn forbid_core_dumps() -> Result<(), String> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|cause| format!("core dumps can't be turned off: {cause}"))
}

/// If run as root, switches permanently to the folder's owner, for this thread and the threads that it starts. The
/// owner could have placed links or a configuration there that lead root to other files.
pub fn become_owner_of(folder: &Path) -> Result<(), String> {
    if !geteuid().is_root() {
        return Ok(());
    }
    // A missing folder is no error here. Opening the file in it will fail.
    let Ok(metadata) = fs::metadata(folder) else { return Ok(()) };
    if metadata.uid() == 0 {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    set_thread_groups(&[])
        .and_then(|()| set_thread_res_gid(group, group, group))
        .and_then(|()| set_thread_res_uid(user, user, user))
        .map_err(|cause| format!("can't switch to the owner of {}: {cause}", folder.display()))?;
    // Changing the user re-enables core dumps if `fs.suid_dumpable` is not 0 (PR_SET_DUMPABLE(2const)).
    forbid_core_dumps()
}
