//! What can be wrong with a directed link, and how that is said on a command line.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::PlaygroundError;

/// Longest delay, and longest half of a flap: an hour. Enough to be noticed.
const MILLISECONDS_MAX: u64 = 3_600_000;
/// Fastest rate worth a limit: 10 GB a second.
const RATE_MAX: u64 = 10_000_000_000;

/// The state of one directed link.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkFault {
    /// None: bytes pass as they come.
    #[default]
    Ok,
    /// Nothing passes, nothing is lost: what a network does that drops every packet.
    Freeze,
    /// Connections are reset and new ones refused. TCP needs both directions, so this ends the
    /// connections of both.
    Reset,
    /// Everything takes longer. What was sent first still arrives first.
    Delay {
        /// By so much,
        ms: u64,
        /// more or less by up to so much.
        jitter_ms: u64,
    },
    /// No more than so many bytes a second, all connections together.
    Rate {
        /// At least 1.
        bytes_per_second: u64,
    },
    /// Passes for a while, then freezes for a while, and again.
    Flap {
        /// Passes so long,
        up_ms: u64,
        /// then freezes so long.
        down_ms: u64,
    },
}

/// One directed link, seen from outside.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LinkView {
    /// The node whose bytes these are.
    pub from: String,
    /// The node that gets them.
    pub to: String,
    /// What is wrong with it.
    pub fault: LinkFault,
    /// What passed in the last second.
    pub bytes_per_second: u64,
    /// Connections that carry it now.
    pub connections: u64,
}

impl LinkFault {
    /// What an event says of a link in this state, as a participle.
    pub fn state(&self) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Freeze => "frozen".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Delay { ms, jitter_ms: 0 } => format!("delayed by {ms} ms"),
            Self::Delay { ms, jitter_ms } => format!("delayed by {ms}±{jitter_ms} ms"),
            Self::Rate { bytes_per_second } => {
                format!("limited to {} kB/s", thousands(*bytes_per_second))
            }
            Self::Flap { up_ms, down_ms } => {
                format!("flapping, {up_ms} ms up and {down_ms} ms down")
            }
        }
    }

    /// Checks the numbers of a fault that was not read from words.
    pub fn check(&self) -> Result<(), PlaygroundError> {
        let wrong = |why: &str| Err(PlaygroundError::Usage(why.to_owned()));
        match *self {
            Self::Delay { ms, jitter_ms } if ms > MILLISECONDS_MAX || jitter_ms > ms => {
                wrong("a delay is at most an hour, and its jitter at most the delay: delay 50±10")
            }
            Self::Rate { bytes_per_second: 0 } => {
                wrong("a rate of nothing is no rate: use freeze to let nothing pass")
            }
            Self::Rate { bytes_per_second } if bytes_per_second > RATE_MAX => {
                wrong("a rate is at most 10000000 kB a second: use ok to take the limit away")
            }
            Self::Flap { up_ms, down_ms } => {
                let good = 1..=MILLISECONDS_MAX;
                if good.contains(&up_ms) && good.contains(&down_ms) {
                    return Ok(());
                }
                wrong("both halves of a flap last between 1 ms and an hour: flap 300/700")
            }
            _ => Ok(()),
        }
    }
}

fn thousands(bytes: u64) -> String {
    if bytes.is_multiple_of(1000) {
        (bytes / 1000).to_string()
    } else {
        format!("{}.{:03}", bytes / 1000, bytes % 1000)
    }
}

impl fmt::Display for LinkFault {
    /// The words that [`FromStr`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Freeze => f.write_str("freeze"),
            Self::Reset => f.write_str("reset"),
            Self::Delay { ms, jitter_ms: 0 } => write!(f, "delay {ms}"),
            Self::Delay { ms, jitter_ms } => write!(f, "delay {ms}±{jitter_ms}"),
            Self::Rate { bytes_per_second } => write!(f, "rate {}", thousands(*bytes_per_second)),
            Self::Flap { up_ms, down_ms } => write!(f, "flap {up_ms}/{down_ms}"),
        }
    }
}

impl FromStr for LinkFault {
    type Err = PlaygroundError;

    /// `ok`, `freeze`, `reset`, `delay MS[±MS]`, `rate KB_PER_SECOND`, `flap UP_MS/DOWN_MS`.
    fn from_str(text: &str) -> Result<Self, PlaygroundError> {
        let wrong = || {
            PlaygroundError::Usage(format!(
                "{text:?} is no fault of a link: say ok, freeze, reset, delay 50±10 \
                 (milliseconds), rate 64 (kB a second) or flap 300/700 (milliseconds up/down)"
            ))
        };
        let mut words = text.split_whitespace();
        let fault = match (words.next(), words.next(), words.next()) {
            (Some("ok"), None, None) => Self::Ok,
            (Some("freeze"), None, None) => Self::Freeze,
            (Some("reset"), None, None) => Self::Reset,
            (Some("delay"), Some(delay), None) => read_delay(delay).ok_or_else(wrong)?,
            (Some("rate"), Some(rate), None) => {
                Self::Rate { bytes_per_second: read_rate(rate).ok_or_else(wrong)? }
            }
            (Some("flap"), Some(flap), None) => {
                let (up, down) = flap.split_once('/').ok_or_else(wrong)?;
                let (up, down) = (number(up), number(down));
                let (Some(up_ms), Some(down_ms)) = (up, down) else { return Err(wrong()) };
                Self::Flap { up_ms, down_ms }
            }
            _ => return Err(wrong()),
        };
        fault.check()?;
        Ok(fault)
    }
}

/// Digits alone: Rust would also read `+5`.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn read_delay(text: &str) -> Option<LinkFault> {
    let (ms, jitter) =
        text.split_once('±').or_else(|| text.split_once("+-")).unwrap_or((text, "0"));
    Some(LinkFault::Delay { ms: number(ms)?, jitter_ms: number(jitter)? })
}

/// Thousands of bytes, with up to three decimals.
fn read_rate(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || part.len() > 3 {
        return None;
    }
    let part = number(&format!("{part:0<3}"))?;
    number(whole)?.checked_mul(1000)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> LinkFault {
        text.parse().unwrap()
    }

    #[test]
    fn the_words_mean_what_they_say() {
        assert_eq!(read("ok"), LinkFault::Ok);
        assert_eq!(read(" freeze "), LinkFault::Freeze);
        assert_eq!(read("reset"), LinkFault::Reset);
        assert_eq!(read("delay 50±10"), LinkFault::Delay { ms: 50, jitter_ms: 10 });
        assert_eq!(read("delay 50+-10"), LinkFault::Delay { ms: 50, jitter_ms: 10 });
        assert_eq!(read("delay 50"), LinkFault::Delay { ms: 50, jitter_ms: 0 });
        assert_eq!(read("rate 64"), LinkFault::Rate { bytes_per_second: 64_000 });
        assert_eq!(read("rate 0.5"), LinkFault::Rate { bytes_per_second: 500 });
        assert_eq!(read("flap 300/700"), LinkFault::Flap { up_ms: 300, down_ms: 700 });
    }

    #[test]
    fn nonsense_is_refused_in_a_sentence() {
        let wrong = [
            "",
            "ice",
            "freeze now",
            "delay",
            "delay x",
            "delay -5",
            "delay 5±9",
            "delay 9999999",
            "rate 0",
            "rate 1.2345",
            "rate 1.",
            "rate 99999999999999999999",
            "rate 99999999",
            "flap 300",
            "flap 0/5",
            "flap 5/0",
            "flap 5/9999999",
            "ok ok",
            "delay +5",
            "delay ±",
        ];
        for text in wrong {
            let error = text.parse::<LinkFault>().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(' '), "{text:?}: {error}");
        }
    }

    #[test]
    fn what_is_sent_over_the_socket_is_readable() {
        let text = |fault: LinkFault| serde_json::to_string(&fault).unwrap();
        assert_eq!(text(LinkFault::Freeze), "\"freeze\"");
        assert_eq!(text(read("delay 50±10")), r#"{"delay":{"ms":50,"jitter_ms":10}}"#);
    }

    fn any_fault() -> impl Strategy<Value = LinkFault> {
        let ms = 1..=MILLISECONDS_MAX;
        prop_oneof![
            Just(LinkFault::Ok),
            Just(LinkFault::Freeze),
            Just(LinkFault::Reset),
            (ms.clone(), 0.0..=1.0).prop_map(|(ms, part)| {
                LinkFault::Delay { ms, jitter_ms: (ms as f64 * part) as u64 }
            }),
            (1..=RATE_MAX).prop_map(|bytes_per_second| LinkFault::Rate { bytes_per_second }),
            (ms.clone(), ms).prop_map(|(up_ms, down_ms)| LinkFault::Flap { up_ms, down_ms }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_read(fault in any_fault()) {
            prop_assert_eq!(fault.to_string().parse::<LinkFault>().unwrap(), fault);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<LinkFault>();
            let _ = format!("delay {text}").parse::<LinkFault>();
            let _ = format!("rate {text}").parse::<LinkFault>();
        }
    }
}
