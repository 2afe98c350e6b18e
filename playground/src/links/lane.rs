//! What may leave a link, and when: the decisions, without clock and sockets.
//!
//! A [`Lane`] is one direction of one connection. Pieces go in as they are read and come out
//! in the same order, whole or split, none twice and none left out; a fault only decides when.
//! A [`Bucket`] is shared by all lanes of a directed link and limits their rate together.
//!
//! A lane that may not let anything out does not ask for more either ([`Lane::wants_more`]):
//! so a freeze reaches back to the sender, as an unplugged cable would, and memory stays small.
//!
//! One thing passes a link that is cut in one direction only: the *heads* of HTTP exchanges.
//! Members say their messages in the bodies of answers to each other's requests. If the head
//! of such a request could not pass, a cut from A to B would also silence B towards A.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::LinkFault;

/// Read ahead so much of a link that lets bytes pass.
const AHEAD: usize = 64 << 10;
/// Read ahead so much of a link with a delay: what is under way at 40 MB a second and 100 ms.
const AHEAD_DELAYED: usize = 4 << 20;
/// Connections of a link that was frozen for longer are reset when it is healed: their ends
/// have stopped to believe in them, and would wait out long timeouts.
pub const STALE: Duration = Duration::from_secs(5);
/// A limited link may send at once what it could have sent in this time.
const BURST: Duration = Duration::from_millis(50);
const NANOSECONDS: u128 = 1_000_000_000;

/// A directed link as it was set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Setting {
    /// What is wrong with it.
    pub fault: LinkFault,
    /// Since when; phases of a flap are counted from here.
    pub since: Duration,
    /// Raised when connections of this link have to end.
    pub resets: u64,
}

/// Whether a link lets bytes pass at some moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Gate {
    Open,
    Delayed {
        ms: u64,
        jitter_ms: u64,
    },
    Limited(u64),
    /// Until then, or until it is set anew.
    Closed(Option<Duration>),
}

/// Whether a new connection may be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It may.
    Go,
    /// It is refused.
    Refuse,
    /// Nobody answers: ask again then, or when a link is set anew.
    Wait(Option<Duration>),
}

/// Judges a new connection by both directions.
pub fn admit(one: &Setting, other: &Setting, now: Duration) -> Admission {
    if [one, other].iter().any(|it| it.fault == LinkFault::Reset) {
        return Admission::Refuse;
    }
    match (one.gate(now), other.gate(now)) {
        (Gate::Closed(one), Gate::Closed(other)) => Admission::Wait(earlier(one, other)),
        _ => Admission::Go,
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Setting {
    /// The link with another fault; the same fault again changes nothing.
    pub fn with(self, fault: LinkFault, now: Duration) -> Self {
        if fault == self.fault {
            return self;
        }
        let stale = self.fault == LinkFault::Freeze && now.saturating_sub(self.since) > STALE;
        let resets = self.resets + u64::from(stale || fault == LinkFault::Reset);
        Self { fault, since: now, resets }
    }

    /// Whether nothing passes now.
    pub fn is_closed(&self, now: Duration) -> bool {
        matches!(self.gate(now), Gate::Closed(_))
    }

    fn gate(&self, now: Duration) -> Gate {
        match self.fault {
            LinkFault::Ok => Gate::Open,
            LinkFault::Freeze | LinkFault::Reset => Gate::Closed(None),
            LinkFault::Delay { ms, jitter_ms } => Gate::Delayed { ms, jitter_ms },
            LinkFault::Rate { bytes_per_second } => Gate::Limited(bytes_per_second),
            LinkFault::Flap { up_ms, down_ms } => {
                let up = Duration::from_millis(up_ms).as_nanos();
                let cycle = (up + Duration::from_millis(down_ms).as_nanos()).max(1);
                let phase = now.saturating_sub(self.since).as_nanos() % cycle;
                if phase < up {
                    return Gate::Open;
                }
                // A phase is at most two hours, so its rest fits.
                let rest = u64::try_from(cycle - phase).unwrap_or(u64::MAX);
                Gate::Closed(Some(now + Duration::from_nanos(rest)))
            }
        }
    }
}

/// What a directed link may still send at its rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// In bytes times nanoseconds.
    credit: u128,
    at: Duration,
}

impl Bucket {
    /// Takes up to `want` bytes, or says when to ask again.
    fn take(&mut self, now: Duration, rate: u64, want: usize) -> Result<usize, Duration> {
        let rate = u128::from(rate.max(1));
        let cap = (rate * BURST.as_nanos()).max(NANOSECONDS);
        let passed = now.saturating_sub(self.at).as_nanos();
        self.credit = (self.credit + passed * rate).min(cap);
        self.at = self.at.max(now);
        // Not byte by byte: half of a burst, if so much is wanted.
        let worthwhile = (cap / NANOSECONDS / 2).max(1).min(want as u128);
        let have = self.credit / NANOSECONDS;
        if have >= worthwhile {
            let granted = have.min(want as u128);
            self.credit -= granted * NANOSECONDS;
            // Not more than `want`, which is one.
            return Ok(granted as usize);
        }
        let missing = (worthwhile * NANOSECONDS - self.credit).div_ceil(rate);
        Err(self.at + Duration::from_nanos(u64::try_from(missing).unwrap_or(u64::MAX)))
    }
}

/// What to do next with a lane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// Write this.
    Send(Bytes),
    /// Everything is out and no more will come.
    End,
    /// Ask again then, or when something has changed.
    Wait(Option<Duration>),
}

#[derive(Debug)]
enum Content {
    /// The head of an HTTP exchange that may pass a one-way cut.
    Head(Bytes),
    Body(Bytes),
    End,
}

#[derive(Debug)]
struct Piece {
    content: Content,
    arrived: Duration,
    /// Drawn when it arrived; places it within the jitter.
    lot: u16,
}

/// One direction of one connection; see the module.
#[derive(Debug, Default)]
pub struct Lane {
    queue: VecDeque<Piece>,
    bytes: usize,
    ended: bool,
}

impl Lane {
    /// Takes bytes that were read. `lot` is random.
    pub fn push(&mut self, now: Duration, data: Bytes, is_head: bool, lot: u16) {
        self.bytes += data.len();
        let content = if is_head { Content::Head(data) } else { Content::Body(data) };
        self.queue.push_back(Piece { content, arrived: now, lot });
    }

    /// No more will come.
    pub fn end(&mut self, now: Duration, lot: u16) {
        self.ended = true;
        self.queue.push_back(Piece { content: Content::End, arrived: now, lot });
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether more should be read. `expects_head` says that what comes next is the head of an
    /// exchange, `back_closed` whether the other direction is cut as well.
    pub fn wants_more(
        &self,
        now: Duration,
        link: &Setting,
        back_closed: bool,
        expects_head: bool,
    ) -> bool {
        if self.ended {
            return false;
        }
        match link.gate(now) {
            Gate::Open | Gate::Limited(_) => self.bytes < AHEAD,
            Gate::Delayed { .. } => self.bytes < AHEAD_DELAYED,
            Gate::Closed(_) => expects_head && !back_closed && self.queue.is_empty(),
        }
    }

    /// What may go out now.
    pub fn next(
        &mut self,
        now: Duration,
        link: &Setting,
        back_closed: bool,
        bucket: &mut Bucket,
    ) -> Next {
        let Some(first) = self.queue.front() else {
            // When it opens again, there may be something to read.
            let Gate::Closed(until) = link.gate(now) else { return Next::Wait(None) };
            return Next::Wait(until);
        };
        match link.gate(now) {
            Gate::Open => self.pop(usize::MAX),
            Gate::Delayed { ms, jitter_ms } => {
                let due = first.arrived + delay(ms, jitter_ms, first.lot);
                if due <= now { self.pop(usize::MAX) } else { Next::Wait(Some(due)) }
            }
            Gate::Limited(rate) => {
                let want = match &first.content {
                    Content::End => return self.pop(0),
                    Content::Head(data) | Content::Body(data) => data.len(),
                };
                match bucket.take(now, rate, want) {
                    Ok(granted) => self.pop(granted),
                    Err(again) => Next::Wait(Some(again)),
                }
            }
            Gate::Closed(until) => {
                if matches!(first.content, Content::Head(_)) && !back_closed {
                    self.pop(usize::MAX)
                } else {
                    Next::Wait(until)
                }
            }
        }
    }

    /// The first piece, or so much of it.
    fn pop(&mut self, most: usize) -> Next {
        let Some(first) = self.queue.front_mut() else { return Next::Wait(None) };
        let data = match &mut first.content {
            Content::End => {
                self.queue.clear();
                return Next::End;
            }
            Content::Head(data) | Content::Body(data) => {
                let most = most.min(data.len());
                data.split_to(most)
            }
        };
        self.bytes -= data.len();
        let empty = match &first.content {
            Content::Head(rest) | Content::Body(rest) => rest.is_empty(),
            Content::End => false,
        };
        if empty {
            self.queue.pop_front();
        }
        Next::Send(data)
    }
}

/// Between `ms - jitter_ms` and `ms + jitter_ms`.
fn delay(ms: u64, jitter_ms: u64, lot: u16) -> Duration {
    let jitter = Duration::from_millis(jitter_ms.min(ms));
    let spread = jitter * 2 * u32::from(lot) / u32::from(u16::MAX);
    Duration::from_millis(ms) - jitter + spread
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
