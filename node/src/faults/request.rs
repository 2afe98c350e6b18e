//! What the fault file says: `name=value` lines, nothing else.

use std::str::FromStr;

use nix::errno::Errno;

/// The text, read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wanted {
    pub fsync_delay_ms: u64,
    pub write_error: i32,
    pub clock_offset_seconds: i64,
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut wanted = Self::default();
        for line in text.lines() {
            let wrong = || format!("{line:?} is no fault");
            let (name, value) = line.split_once('=').ok_or_else(wrong)?;
            match name {
                // Makes two texts differ that ask for the same.
                "number" => {}
                "fsync_delay_ms" => wanted.fsync_delay_ms = value.parse().map_err(|_| wrong())?,
                "clock_offset_seconds" => {
                    wanted.clock_offset_seconds = value.parse().map_err(|_| wrong())?;
                }
                "write_error" => {
                    wanted.write_error = match value {
                        "eio" => Errno::EIO as i32,
                        "enospc" => Errno::ENOSPC as i32,
                        _ => return Err(wrong()),
                    };
                }
                _ => return Err(wrong()),
            }
        }
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_is_no_fault_and_an_odd_one_is_refused() {
        assert_eq!("".parse::<Wanted>().unwrap(), Wanted::default());
        assert_eq!("number=9\n".parse::<Wanted>().unwrap(), Wanted::default());
        let all = "fsync_delay_ms=20\nwrite_error=eio\nclock_offset_seconds=-5\n";
        let wanted = all.parse::<Wanted>().unwrap();
        assert_eq!((wanted.fsync_delay_ms, wanted.clock_offset_seconds), (20, -5));
        assert_eq!(wanted.write_error, 5);
        for text in ["x", "x=1", "fsync_delay_ms=-1", "write_error=", "clock_offset_seconds=1.5"] {
            assert!(text.parse::<Wanted>().is_err(), "{text:?}");
        }
    }
}
