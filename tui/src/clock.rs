//! How far the user's clock is from UTC, from the system's time zone file.
//!
//! Times in the event feed are to match the clock on the wall. The zone file (RFC 8536) is
//! read once at the start: a switch to summer time while the UI runs is not worth code.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds east of UTC now; 0 if the zone cannot be found.
pub fn utc_offset_s() -> i32 {
    let file = match std::env::var("TZ") {
        Ok(name) if name.is_empty() => return 0,
        Ok(name) => {
            let name = name.trim_start_matches(':');
            if name.starts_with('/') {
                name.to_owned()
            } else {
                format!("/usr/share/zoneinfo/{name}")
            }
        }
        Err(_) => "/etc/localtime".to_owned(),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    std::fs::read(file).ok().and_then(|bytes| offset_at(&bytes, now)).unwrap_or(0)
}

/// The offset in force at `now` by a zone file's table of changes.
fn offset_at(bytes: &[u8], now: i64) -> Option<i32> {
    let first = Header::read(bytes)?;
    // Version 2 files repeat the table with 64-bit times after the first one.
    let second = bytes.get(first.length(4)..)?;
    let header = Header::read(second)?;
    let body = second.get(Header::BYTES..)?;
    let times = body.get(..header.times * 8)?;
    let types = body.get(header.times * 8..header.times * 9)?;
    let records = body.get(header.times * 9..header.times * 9 + header.types * 6)?;
    let passed = times
        .chunks_exact(8)
        .filter(|time| <[u8; 8]>::try_from(*time).is_ok_and(|time| i64::from_be_bytes(time) <= now))
        .count();
    let kind = if passed == 0 { 0 } else { usize::from(types[passed - 1]) };
    let record = records.get(kind * 6..kind * 6 + 4)?;
    Some(i32::from_be_bytes(record.try_into().ok()?))
}

/// The counts at the head of a table.
struct Header {
    utc_flags: usize,
    standard_flags: usize,
    leaps: usize,
    times: usize,
    types: usize,
    characters: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"TZif" {
            return None;
        }
        let count = |index: usize| {
            let at = 20 + index * 4;
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
        };
        Some(Self {
            utc_flags: count(0)?,
            standard_flags: count(1)?,
            leaps: count(2)?,
            times: count(3)?,
            types: count(4)?,
            characters: count(5)?,
        })
    }

    /// Length of the table with times of `width` bytes.
    fn length(&self, width: usize) -> usize {
        Self::BYTES
            + self.times * (width + 1)
            + self.types * 6
            + self.characters
            + self.leaps * (width + 4)
            + self.standard_flags
            + self.utc_flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times: &[i64], types: &[u8], offsets: &[i32]) -> Vec<u8> {
        let mut bytes = b"TZif2".to_vec();
        bytes.resize(20, 0);
        for count in [0, 0, 0, times.len(), offsets.len(), 0] {
            bytes.extend((count as u32).to_be_bytes());
        }
        times.iter().for_each(|time| bytes.extend(time.to_be_bytes()));
        bytes.extend(types);
        for offset in offsets {
            bytes.extend(offset.to_be_bytes());
            bytes.extend([0, 0]);
        }
        bytes
    }

    #[test]
    fn the_last_change_before_now_decides() {
        let mut file = table(&[], &[], &[]);
        file.extend(table(&[100, 200], &[1, 0], &[3_600, 7_200]));
        assert_eq!(offset_at(&file, 50), Some(3_600), "before the first change");
        assert_eq!(offset_at(&file, 150), Some(7_200));
        assert_eq!(offset_at(&file, 200), Some(3_600));
        assert_eq!(offset_at(b"not a zone", 0), None);
    }
}
