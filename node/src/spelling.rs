//! Values as etcd spells them where people read them: spans of time and numbers of bytes.
//!
//! What a program reads is spelled where it is written.

use std::time::Duration;

/// A time span as Go writes it: `1h2m3.5s`, `12.3ms`.
pub fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let trimmed = |value: f64, unit: &str| format!("{value}{unit}");
    if nanos < 1_000_000_000 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => trimmed(nanos as f64 / 1e3, "µs"),
            _ => trimmed(nanos as f64 / 1e6, "ms"),
        };
    }
    let (minutes, rest) = (time.as_secs() / 60, nanos % 60_000_000_000);
    let fraction = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
    let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// A number of bytes in steps of a thousand, with a decimal below ten.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    if size < 10 {
        return format!("{size} B");
    }
    let mut value = size as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let rounded = (value * 10.0 + 0.5).floor() / 10.0;
    if rounded < 10.0 {
        format!("{rounded:.1} {}", UNITS[unit])
    } else {
        format!("{rounded:.0} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (2_911_575_011, "2.911575011s"),
            (60_000_000_000, "1m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
            (360_000_000_000_000, "100h0m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn sizes_are_written_as_in_etcdutl() {
        let shown = [9, 20_480, 1_548, 9_960, 82_854_982].map(bytes);
        assert_eq!(shown, ["9 B", "20 kB", "1.5 kB", "10 kB", "83 MB"]);
    }
}
