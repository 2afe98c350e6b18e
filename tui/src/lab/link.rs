//! The state of one directed link between two nodes, and the words it is asked for with.

use std::fmt;

/// Longest delay or half of a flap.
const MILLISECONDS_MOST: u64 = 3_600_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    #[default]
    Ok,
    /// Nothing passes, nothing is lost.
    Freeze,
    /// Connections are reset and refused.
    Reset,
    Delay {
        ms: u64,
        jitter_ms: u64,
    },
    Rate {
        bytes_per_second: u64,
    },
    /// Passes for a while, freezes for a while, and again.
    Flap {
        up_ms: u64,
        down_ms: u64,
    },
}

impl LinkState {
    /// Whether messages do not arrive.
    pub fn cuts(self) -> bool {
        matches!(self, Self::Freeze | Self::Reset)
    }

    /// At most nine columns, for a cell of the matrix.
    pub fn brief(self) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Freeze => "✗ frozen".to_owned(),
            Self::Reset => "✗ reset".to_owned(),
            Self::Delay { ms, .. } if ms < 1_000 => format!("~ {ms} ms"),
            Self::Delay { ms, .. } => format!("~ {}.{} s", ms / 1_000, ms % 1_000 / 100),
            Self::Rate { bytes_per_second } => format!("▁ {}", rate(bytes_per_second)),
            Self::Flap { .. } => "≈ flaps".to_owned(),
        }
    }

    /// A participle, for a sentence.
    pub fn sentence(self) -> String {
        match self {
            Self::Ok => "passes everything".to_owned(),
            Self::Freeze => "is frozen: nothing passes, nothing is lost".to_owned(),
            Self::Reset => "is reset: connections break and are refused".to_owned(),
            Self::Delay { ms, jitter_ms: 0 } => format!("is delayed by {ms} ms"),
            Self::Delay { ms, jitter_ms } => format!("is delayed by {ms}±{jitter_ms} ms"),
            Self::Rate { bytes_per_second } => format!("passes {} at most", rate(bytes_per_second)),
            Self::Flap { up_ms, down_ms } => {
                format!("flaps: {up_ms} ms open, {down_ms} ms frozen")
            }
        }
    }

    /// Reads `50±10` or `50+-10`, in milliseconds.
    pub fn delay(text: &str) -> Result<Self, String> {
        let wrong = || "write milliseconds, such as 50 or 50±10 (or 50+-10)".to_owned();
        let (ms, jitter) =
            text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, "0"));
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let (ms, jitter_ms) = (number(ms)?, number(jitter)?);
        if ms > MILLISECONDS_MOST || jitter_ms > ms {
            return Err("at most an hour, and the ± at most the delay itself".to_owned());
        }
        Ok(Self::Delay { ms, jitter_ms })
    }

    /// Reads a number of kB a second.
    pub fn rate(text: &str) -> Result<Self, String> {
        match text.trim().parse::<u64>() {
            Ok(kilobytes @ 1..=10_000_000) => {
                Ok(Self::Rate { bytes_per_second: kilobytes * 1_000 })
            }
            _ => Err("write kB a second, 1 to 10000000".to_owned()),
        }
    }

    /// Reads `300/700`: milliseconds open, milliseconds frozen.
    pub fn flap(text: &str) -> Result<Self, String> {
        let wrong = || "write milliseconds open / frozen, such as 300/700".to_owned();
        let (up, down) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| match text.trim().parse::<u64>() {
            Ok(ms @ 1..=MILLISECONDS_MOST) => Ok(ms),
            _ => Err(wrong()),
        };
        Ok(Self::Flap { up_ms: number(up)?, down_ms: number(down)? })
    }
}

impl fmt::Display for LinkState {
    /// The words of the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Freeze => f.write_str("freeze"),
            Self::Reset => f.write_str("reset"),
            Self::Delay { ms, jitter_ms: 0 } => write!(f, "delay {ms}"),
            Self::Delay { ms, jitter_ms } => write!(f, "delay {ms}±{jitter_ms}"),
            Self::Rate { bytes_per_second } => write!(f, "rate {}", bytes_per_second / 1_000),
            Self::Flap { up_ms, down_ms } => write!(f, "flap {up_ms}/{down_ms}"),
        }
    }
}

/// 64_000 → `64 kB/s`.
pub fn rate(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B/s"),
        1_000..1_000_000 => format!("{} kB/s", bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB/s", bytes / 1_000_000),
        _ => format!("{} GB/s", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_explained() {
        assert_eq!(LinkState::delay("50±10"), Ok(LinkState::Delay { ms: 50, jitter_ms: 10 }));
        assert_eq!(LinkState::delay("50+-10"), LinkState::delay("50±10"));
        assert_eq!(LinkState::rate("64"), Ok(LinkState::Rate { bytes_per_second: 64_000 }));
        assert_eq!(LinkState::flap("300/700"), Ok(LinkState::Flap { up_ms: 300, down_ms: 700 }));
        for wrong in ["", "x", "10±20", "-5", "99999999999"] {
            assert!(LinkState::delay(wrong).is_err(), "{wrong}");
        }
        assert!(LinkState::rate("0").is_err() && LinkState::flap("0/1").is_err());
        assert!(LinkState::flap("300").is_err());
    }

    #[test]
    fn a_cell_of_the_matrix_is_wide_enough() {
        use unicode_width::UnicodeWidthStr;
        for state in [
            LinkState::Freeze,
            LinkState::Reset,
            LinkState::Delay { ms: 999, jitter_ms: 0 },
            LinkState::Delay { ms: 3_600_000, jitter_ms: 0 },
            LinkState::Rate { bytes_per_second: 999_999 },
            LinkState::Rate { bytes_per_second: 9_999_000_000 },
            LinkState::Flap { up_ms: 1, down_ms: 1 },
        ] {
            assert!(state.brief().width() <= 10, "{}", state.brief());
        }
    }
}
