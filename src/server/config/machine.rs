//! The machine's processors and memory.

use std::path::{Path, PathBuf};

/// The number of parallel hashes: one per processor, as many as fit into a quarter of the memory, and at most 8.
pub(super) fn automatic_permits(memory_kib: u32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(8));
    let memory = total_memory_kib().map_or(8, |total| total / 4 / u64::from(memory_kib.max(1)));
    processors.min(u32::try_from(memory).unwrap_or(8)).clamp(1, 8)
}

/// The memory that this process may use, in KiB: the machine's, or the limit of a control group if that is lower.
fn total_memory_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = limits(&own).into_iter().filter_map(|file| {
        let most = std::fs::read_to_string(file).ok()?;
        most.trim().parse::<u64>().ok().map(|bytes| bytes / 1024)
    });
    machine.into_iter().chain(groups).min()
}

/// The files that may hold a memory limit, according to `/proc/self/cgroup` (cgroups(7)). Control groups of version 2
/// have one, and those of version 1 with the memory controller.
fn limits(own: &str) -> Vec<PathBuf> {
    let (mut unified, mut memory) = ("", "");
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if controllers.is_empty() {
            unified = path;
        } else if controllers.split(',').any(|controller| controller == "memory") {
            memory = path;
        }
    }
    let mut files = groups("/sys/fs/cgroup", unified, "memory.max");
    files.extend(groups("/sys/fs/cgroup/memory", memory, "memory.limit_in_bytes"));
    files
}

/// A file in the folders of a process's control groups, innermost first. In a container the process's group is the root.
fn groups(root: &str, path: &str, file: &str) -> Vec<PathBuf> {
    let root = Path::new(root);
    let innermost = root.join(path.trim_start_matches('/'));
    innermost.ancestors().take_while(|folder| folder.starts_with(root)).map(|folder| folder.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parent_control_group_counts_in_both_versions() {
        let files = |own| limits(own).iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
        let roots = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        assert_eq!(files("0::/\n"), roots);
        assert_eq!(files(""), roots);
        assert_eq!(
            files("1:name=systemd:/other\n0::/system.slice/vestibule.service\n"),
            [
                "/sys/fs/cgroup/system.slice/vestibule.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert_eq!(
            files("9:cpu,cpuacct:/a\n4:hugetlb,memory:/docker/b\n1:name=systemd:/c\n"),
            [
                "/sys/fs/cgroup/memory.max",
                "/sys/fs/cgroup/memory/docker/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
    }
}
