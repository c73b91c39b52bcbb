//! The process as the system sees it, under the names that Prometheus's own libraries use.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::exposition::Family;

/// What the system says of this process. What it does not say is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    cpu: Duration,
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

impl Process {
    /// Asks the system, which reads files.
    #[must_use]
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            // A process has not used less than no time.
            cpu: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default(),
            resident_bytes: bytes_of(&status, "VmRSS:"),
            virtual_bytes: bytes_of(&status, "VmSize:"),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }

    /// As metrics of a process that started at `started`, since the Unix epoch.
    #[must_use]
    pub fn families(&self, started: Duration) -> Vec<Family> {
        let gauge = |name, help, value: Option<u64>| {
            value.map(|value| Family::gauge(name, help, vec![(vec![], value as f64)]))
        };
        let start = vec![(vec![], started.as_secs_f64())];
        let cpu = vec![(vec![], self.cpu.as_secs_f64())];
        let fixed = [
            Family::gauge("process_start_time_seconds", "Start, since the Unix epoch", start),
            Family::counter("process_cpu_seconds", "Processor time used", cpu),
        ];
        let known = [
            gauge("process_resident_memory_bytes", "Memory that is resident", self.resident_bytes),
            gauge("process_virtual_memory_bytes", "Memory that is mapped", self.virtual_bytes),
            gauge("process_open_fds", "File descriptors open", self.open_fds),
            gauge("process_max_fds", "File descriptors allowed", self.max_fds),
        ];
        fixed.into_iter().chain(known.into_iter().flatten()).collect()
    }
}

/// The number of a line of `/proc/self/status`, which is in KiB.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

fn open_fds() -> Option<u64> {
    let folder = "/proc/self/fd";
    // Since Linux 6.2 it says how many there are, which spares a look at ten thousand names.
    match fs::metadata(folder).map(|about| about.len()) {
        Ok(0) => {
            let counted = fs::read_dir(folder).ok()?.count() as u64;
            // One of them is the folder's own.
            Some(counted.saturating_sub(1))
        }
        Ok(counted) => Some(counted),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_what_this_process_uses() {
        let before = Process::read();
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let process = Process::read();
        assert!(Duration::ZERO < process.cpu && before.cpu <= process.cpu);
        assert!(process.resident_bytes.is_some_and(|bytes| 100_000 < bytes));
        assert!(process.resident_bytes <= process.virtual_bytes);
        let opened = process.open_fds.unwrap();
        assert!(files.len() as u64 <= opened && opened < process.max_fds.unwrap_or(u64::MAX));
        let text = Format::Text.write(&process.families(Duration::from_secs(7)));
        assert!(text.contains("\nprocess_start_time_seconds 7\n"), "{text}");
        assert!(text.contains("\nprocess_cpu_seconds_total 0."), "{text}");
        assert_eq!(text.matches("# TYPE").count(), 6, "{text}");
    }

    #[test]
    fn a_line_that_is_not_there_has_no_number() {
        let status = "VmSize:\t  12 kB\nVmRSS:\t  x kB\n";
        assert_eq!(bytes_of(status, "VmSize:"), Some(12_288));
        assert_eq!((bytes_of(status, "VmRSS:"), bytes_of(status, "VmPeak:")), (None, None));
    }
}
