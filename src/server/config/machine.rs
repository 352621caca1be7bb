//! What this machine has.

use std::path::{Path, PathBuf};

/// As many hashes at once as there are processors, as a quarter of the memory holds, and 8 at most.
pub(super) fn automatic_permits(memory_kib: u32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(8));
    let memory = total_memory_kib().map_or(8, |total| total / 4 / u64::from(memory_kib.max(1)));
    processors.min(u32::try_from(memory).unwrap_or(8)).clamp(1, 8)
}

/// The memory that this process may use, in KiB: the machine's, or that of a control group around it if that is less.
fn total_memory_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups(&own).into_iter().filter_map(|folder| {
        let most = std::fs::read_to_string(folder.join("memory.max")).ok()?;
        most.trim().parse::<u64>().ok().map(|bytes| bytes / 1024)
    });
    machine.into_iter().chain(groups).min()
}

/// The folders of a process's control groups, the innermost first, from what `/proc/self/cgroup` says (cgroups(7), version
/// 2). Inside of a container its own group is the root.
fn groups(own: &str) -> Vec<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    root.join(path).ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_around_the_process_counts() {
        let folders = |own| groups(own).iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>();
        assert_eq!(folders("0::/\n"), ["/sys/fs/cgroup/"]);
        assert_eq!(folders(""), ["/sys/fs/cgroup/"]);
        assert_eq!(
            folders("1:name=systemd:/other\n0::/system.slice/vestibule.service\n"),
            ["/sys/fs/cgroup/system.slice/vestibule.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"]
        );
    }
}
