//! What the kernel says of this process. What it does not say here is left out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::page::Page;

/// Clock ticks a second in `/proc`, the same on all of Linux.
const TICKS: f64 = 100.0;
/// How Go's client library writes "no limit".
const UNLIMITED: f64 = u64::MAX as f64;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number behind a label, as in `VmRSS:  123 kB`.
fn field(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let word = line.split_whitespace().next()?;
    if word == "unlimited" { Some(UNLIMITED) } else { word.parse().ok() }
}

/// Seconds of processor time, from `/proc/self/stat`.
fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name in parentheses may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

/// Bytes received and sent by all of the host's interfaces, from `/proc/self/net/netstat`.
fn network_bytes(netstat: &str) -> Option<(f64, f64)> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let value = |name: &str| {
        let at = names.split(' ').position(|known| known == name)?;
        values.split(' ').nth(at)?.parse().ok()
    };
    Some((value("InOctets")?, value("OutOctets")?))
}

/// Writes all of it; the process runs since `uptime`.
pub fn write(page: &mut Page, uptime: Duration) {
    let limits = read("/proc/self/limits");
    let status = read("/proc/self/status");
    let gauge = |page: &mut Page, name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            page.gauge(name, help, value);
        }
    };
    let files = std::fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64);
    let files_max = field(&limits, "Max open files");
    gauge(page, "os_fd_limit", "The file descriptor limit.", files_max);
    gauge(page, "os_fd_used", "The number of used file descriptors.", files);
    let help = "Maximum number of open file descriptors.";
    gauge(page, "process_max_fds", help, files_max);
    gauge(page, "process_open_fds", "Number of open file descriptors.", files);
    if let Some(seconds) = cpu_seconds(&read("/proc/self/stat")) {
        let help = "Total user and system CPU time spent in seconds.";
        page.counter("process_cpu_seconds_total", help, seconds);
    }
    if let Some((received, sent)) = network_bytes(&read("/proc/self/net/netstat")) {
        let help = "Number of bytes received by the process over the network.";
        page.counter("process_network_receive_bytes_total", help, received);
        let help = "Number of bytes sent by the process over the network.";
        page.counter("process_network_transmit_bytes_total", help, sent);
    }
    let kilobytes = |label: &str| field(&status, label).map(|value| value * 1024.0);
    let help = "Resident memory size in bytes.";
    gauge(page, "process_resident_memory_bytes", help, kilobytes("VmRSS:"));
    let help = "Virtual memory size in bytes.";
    gauge(page, "process_virtual_memory_bytes", help, kilobytes("VmSize:"));
    let help = "Maximum amount of virtual memory available in bytes.";
    gauge(page, "process_virtual_memory_max_bytes", help, field(&limits, "Max address space"));
    if let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) {
        let help = "Start time of the process since unix epoch in seconds.";
        page.gauge("process_start_time_seconds", help, now.saturating_sub(uptime).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        assert_eq!(
            field("Max open files            1024   4096 files\n", "Max open files"),
            Some(1024.0)
        );
        let limits = "Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(field(limits, "Max address space"), Some(UNLIMITED));
        assert_eq!(field("VmRSS:\t  20 kB\n", "VmSize:"), None);
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nIpExt: X InOctets OutOctets\nIpExt: 0 5 6\n";
        assert_eq!(network_bytes(netstat), Some((5.0, 6.0)));
        assert_eq!(network_bytes(""), None);
    }
}
