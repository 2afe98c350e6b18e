//! Faults of one node: its disk, its clock, its speed, its power.
//!
//! A [`NodeFault`] is what a user or a drill asks for, in the words of the command line. It is
//! plain data: the supervisor carries it out (`runner`), by signals and limits on a process
//! that knows nothing of it, or through the control file that only our own node reads.
//!
//! Invariants:
//! - Every fault can be taken back by `none`, and none survives a restart of the process; what
//!   was done to files on disk is remembered, so that it can be undone as well.
//! - A fault that the engine cannot have is refused with the reason that [`crate::engine`]
//!   gives; nothing is imitated by something else under the same name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::PlaygroundError;

pub mod at_rest;
pub mod control;
pub mod duty;
pub mod limit;

/// Most of the time that a slow node may be frozen: beyond it would be a pause.
pub const SLOW_PERCENT_MAX: u8 = 95;
/// Longest delay of one sync.
pub const FSYNC_DELAY_MAX_MS: u64 = 60_000;
/// Furthest that a clock may be wrong: ten years.
pub const CLOCK_OFFSET_MAX: i64 = 10 * 366 * 86_400;

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeFault {
    /// Frozen for this share of every tenth of a second.
    Slow {
        /// Of a hundred.
        percent: u8,
    },
    /// No file can grow any more.
    DiskFull,
    /// Every sync of the log takes this much longer.
    FsyncDelay {
        /// In milliseconds.
        ms: u64,
    },
    /// Writes to the log fail with an input/output error.
    DiskError,
    /// The machine loses its power: the process is gone, and so is what was not synced.
    PowerLoss,
    /// The wall clock is wrong by this much.
    ClockOffset {
        /// Ahead, or behind if negative.
        seconds: i64,
    },
    /// One bit of the log of a stopped node is turned around.
    BitFlip,
    /// Everything is well again.
    None,
}

impl NodeFault {
    /// The capability that the engine must have, by name.
    pub fn capability(self) -> Option<&'static str> {
        Some(match self {
            Self::Slow { .. } => "proc.pause",
            Self::DiskFull => "disk.full",
            Self::FsyncDelay { .. } => "disk.slow",
            Self::DiskError => "disk.error",
            Self::PowerLoss => "power",
            Self::ClockOffset { .. } => "clock",
            Self::BitFlip => "corrupt",
            Self::None => return None,
        })
    }

    /// Reads the words after the selector on a command line.
    pub fn from_words<S: AsRef<str>>(words: &[S]) -> Result<Self, PlaygroundError> {
        words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ").parse()
    }

    /// Checks the numbers, which a client may have made up.
    pub fn check(self) -> Result<Self, PlaygroundError> {
        let wrong = |text: String| Err(PlaygroundError::Usage(text));
        match self {
            Self::Slow { percent } if !(1..=SLOW_PERCENT_MAX).contains(&percent) => wrong(format!(
                "slow {percent} is out of range: a node is frozen for 1 to {SLOW_PERCENT_MAX} \
                     percent of the time, `etcd-tui pause` freezes it for good"
            )),
            Self::FsyncDelay { ms } if !(1..=FSYNC_DELAY_MAX_MS).contains(&ms) => wrong(format!(
                "fsync-delay {ms} is out of range: say 1 to {FSYNC_DELAY_MAX_MS} milliseconds"
            )),
            Self::ClockOffset { seconds }
                if seconds == 0 || seconds.unsigned_abs() > CLOCK_OFFSET_MAX.unsigned_abs() =>
            {
                wrong(format!(
                    "clock {seconds} is out of range: say by how many seconds the clock shall be \
                     wrong, up to {CLOCK_OFFSET_MAX} either way"
                ))
            }
            fault => Ok(fault),
        }
    }
}

impl fmt::Display for NodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow { percent } => write!(f, "slow {percent}"),
            Self::DiskFull => f.write_str("disk-full"),
            Self::FsyncDelay { ms } => write!(f, "fsync-delay {ms}"),
            Self::DiskError => f.write_str("disk-error"),
            Self::PowerLoss => f.write_str("power-loss"),
            Self::ClockOffset { seconds } => write!(f, "clock {seconds:+}"),
            Self::BitFlip => f.write_str("bit-flip"),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for NodeFault {
    type Err = PlaygroundError;

    fn from_str(text: &str) -> Result<Self, PlaygroundError> {
        let wrong = || {
            PlaygroundError::Usage(format!(
                "{text:?} is no fault of a node: say slow PERCENT, disk-full, disk-error, \
                 fsync-delay MS, clock SECONDS, power-loss, bit-flip, or none"
            ))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let fault = match words.as_slice() {
            ["slow", percent] => {
                let percent = percent.strip_suffix('%').unwrap_or(percent);
                Self::Slow { percent: percent.parse().map_err(|_| wrong())? }
            }
            ["disk-full"] => Self::DiskFull,
            ["disk-error"] => Self::DiskError,
            ["fsync-delay", delay] => {
                let ms = delay.strip_suffix("ms").unwrap_or(delay);
                Self::FsyncDelay { ms: ms.parse().map_err(|_| wrong())? }
            }
            ["clock", offset] => {
                let seconds = offset.strip_suffix('s').unwrap_or(offset);
                Self::ClockOffset { seconds: seconds.parse().map_err(|_| wrong())? }
            }
            ["power-loss"] => Self::PowerLoss,
            ["bit-flip"] => Self::BitFlip,
            ["none"] => Self::None,
            _ => return Err(wrong()),
        };
        fault.check()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_fault() -> impl Strategy<Value = NodeFault> {
        prop_oneof![
            (1..=SLOW_PERCENT_MAX).prop_map(|percent| NodeFault::Slow { percent }),
            (1..=FSYNC_DELAY_MAX_MS).prop_map(|ms| NodeFault::FsyncDelay { ms }),
            (-CLOCK_OFFSET_MAX..=-1).prop_map(|seconds| NodeFault::ClockOffset { seconds }),
            (1..=CLOCK_OFFSET_MAX).prop_map(|seconds| NodeFault::ClockOffset { seconds }),
            Just(NodeFault::DiskFull),
            Just(NodeFault::DiskError),
            Just(NodeFault::PowerLoss),
            Just(NodeFault::BitFlip),
            Just(NodeFault::None),
        ]
    }

    proptest! {
        #[test]
        fn a_fault_reads_as_it_is_written(fault in any_fault()) {
            prop_assert_eq!(fault.to_string().parse::<NodeFault>().unwrap(), fault);
            let json = serde_json::to_string(&fault).unwrap();
            prop_assert_eq!(serde_json::from_str::<NodeFault>(&json).unwrap(), fault);
        }

        #[test]
        fn no_text_is_too_odd(text in ".*") {
            let _ = text.parse::<NodeFault>();
        }
    }

    #[test]
    fn units_may_be_said_and_nonsense_names_the_words() {
        assert_eq!("slow 50%".parse::<NodeFault>().unwrap(), NodeFault::Slow { percent: 50 });
        assert_eq!(
            "fsync-delay 20ms".parse::<NodeFault>().unwrap(),
            NodeFault::FsyncDelay { ms: 20 }
        );
        assert_eq!(
            NodeFault::from_words(&["clock", "-3600s"]).unwrap(),
            NodeFault::ClockOffset { seconds: -3600 }
        );
        for text in ["", "slow", "slow 0", "slow 96", "slow x", "fsync-delay 0", "clock 0", "x"] {
            let error = text.parse::<NodeFault>().unwrap_err();
            assert!(
                error.is_usage() && error.to_string().contains("say ")
                    || text == "slow 0"
                    || text == "slow 96",
                "{error}"
            );
        }
        assert!("clock 9223372036854775807".parse::<NodeFault>().is_err());
    }
}
