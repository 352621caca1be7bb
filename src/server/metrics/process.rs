//! Figures of the process, under the names that Prometheus's own libraries use.

use std::{fmt, fs};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use rustix::{
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

use super::page::Page;
use crate::domain::time::Timestamp;

/// This process.
#[derive(Debug)]
pub struct Process {
    /// When it started.
    pub started: Timestamp,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "seconds have far fewer digits")]
        let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        page.counter("cpu_seconds", "Processor time.", seconds)?;
        page.gauge(
            "start_time_seconds",
            "When the server started, in seconds since 1970.",
            self.started.as_millis() / 1000,
        )?;
        if let Some(bytes) = resident_bytes() {
            page.gauge("resident_memory_bytes", "Memory in use.", bytes)?;
        }
        // One of them is the folder that is read.
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            page.gauge("open_fds", "Open files and connections.", open.count().saturating_sub(1))?;
        }
        match getrlimit(Resource::Nofile).current {
            Some(most) => page.gauge("max_fds", "The maximum of process_open_fds.", most),
            None => Ok(()),
        }
    }
}

/// The line `VmRSS` of proc(5) is in KiB.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
