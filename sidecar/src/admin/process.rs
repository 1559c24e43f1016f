//! The process as the kernel sees it, under the names that Prometheus clients share.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector as Collect, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Processor time used by all threads so far.
pub(super) fn cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    // Begins at zero with the process and only grows.
    used.try_into().unwrap_or_default()
}

/// Memory in RAM, in bytes. None where there is no `/proc`.
pub(super) fn resident_bytes() -> Option<u64> {
    resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Open-file limits, (soft, hard). `u64::MAX`: none.
pub(super) fn file_limits() -> (u64, u64) {
    let limit = getrlimit(Resource::Nofile);
    (
        limit.current.unwrap_or(u64::MAX),
        limit.maximum.unwrap_or(u64::MAX),
    )
}

/// The kernel's bound of every accept queue (`net.core.somaxconn`).
pub(super) fn somaxconn() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?;
    text.trim().parse().ok()
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Collects when scraped, so that it costs nothing between.
pub struct Collector {
    /// One scrape at a time: two would both add the processor time since the last.
    scraping: Mutex<()>,
    cpu: Counter,
    files: Gauge,
    files_most: Gauge,
    memory: Gauge,
    started: Gauge,
}

impl Collector {
    /// For this process.
    ///
    /// # Errors
    /// Never, unless a name here is no metric name.
    pub fn new() -> prometheus::Result<Self> {
        let collector = Self {
            scraping: Mutex::default(),
            cpu: Counter::new(
                "process_cpu_seconds_total",
                "Processor time used, in user and system mode.",
            )?,
            files: Gauge::new("process_open_fds", "Open file descriptors.")?,
            files_most: Gauge::new("process_max_fds", "Soft limit of open file descriptors.")?,
            memory: Gauge::new("process_resident_memory_bytes", "Memory in RAM.")?,
            started: Gauge::new(
                "process_start_time_seconds",
                "When the process began, in seconds since the epoch.",
            )?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        collector
            .started
            .set(now.map_or(0.0, |at| at.as_secs_f64()));
        Ok(collector)
    }

    fn parts(&self) -> [&dyn Collect; 5] {
        [
            &self.cpu,
            &self.files,
            &self.files_most,
            &self.memory,
            &self.started,
        ]
    }
}

impl Collect for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts().into_iter().flat_map(Collect::desc).collect()
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges are floats")]
    fn collect(&self) -> Vec<MetricFamily> {
        let _alone = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu = cpu_time().as_secs_f64();
        self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            self.files.set(entries.count() as f64);
        }
        self.files_most.set(file_limits().0 as f64);
        if let Some(bytes) = resident_bytes() {
            self.memory.set(bytes as f64);
        }
        self.parts()
            .into_iter()
            .flat_map(Collect::collect)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resident_memory() {
        let status = "Name:\tx\nVmHWM:\t  99 kB\nVmRSS:\t    12 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(resident(status), Some(12 * 1024));
        assert_eq!(resident("Name:\tx\n"), None);
        assert!(resident_bytes().is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn collects_every_metric_it_describes() {
        let collector = Collector::new().unwrap();
        let collected = collector.collect();
        assert_eq!(collected.len(), collector.desc().len());
        let registry = prometheus::Registry::new();
        registry.register(Box::new(collector)).unwrap();
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        for name in [
            "process_cpu_seconds_total",
            "process_open_fds",
            "process_max_fds",
        ] {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            let value: f64 = line.split(' ').nth(1).unwrap().parse().unwrap();
            assert!(value > 0.0, "{line}");
        }
    }
}
