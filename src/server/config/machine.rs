//! What this machine has.

/// As many hashes at once as there are processors, as a quarter of the memory holds, and 8 at most.
pub(super) fn automatic_permits(memory_kib: u32) -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(8));
    let memory = total_memory_kib().map_or(8, |total| total / 4 / u64::from(memory_kib.max(1)));
    processors.min(u32::try_from(memory).unwrap_or(8)).clamp(1, 8)
}

/// The memory that this process may use, in KiB: the machine's, or the control group's if that is less.
fn total_memory_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok()).map(|bytes| bytes / 1024);
    machine.into_iter().chain(group).min()
}
