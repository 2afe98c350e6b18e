//! The lane against what a link must never do, whatever faults come in whatever order.

use proptest::prelude::*;

use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn set(fault: LinkFault) -> Setting {
    Setting::default().with(fault, Duration::ZERO)
}

#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    Arrive(Vec<u8>, bool, u16),
    Set(LinkFault),
    SetBack(LinkFault),
}

fn fault() -> impl Strategy<Value = LinkFault> {
    prop_oneof![
        Just(LinkFault::Ok),
        Just(LinkFault::Freeze),
        (0u64..500)
            .prop_flat_map(|ms| (Just(ms), 0..=ms))
            .prop_map(|(ms, jitter_ms)| LinkFault::Delay { ms, jitter_ms }),
        (1u64..5000).prop_map(|bytes_per_second| LinkFault::Rate { bytes_per_second }),
        (1u64..300, 1u64..300).prop_map(|(up_ms, down_ms)| LinkFault::Flap { up_ms, down_ms }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u64..400).prop_map(Act::Pass),
        4 => (prop::collection::vec(any::<u8>(), 1..200), prop::bool::weighted(0.2), any::<u16>())
            .prop_map(|(data, head, lot)| Act::Arrive(data, head, lot)),
        1 => fault().prop_map(Act::Set),
        1 => fault().prop_map(Act::SetBack),
    ]
}

/// A link under test, and everything that went in and came out.
struct Rig {
    now: Duration,
    link: Setting,
    back: Setting,
    lane: Lane,
    bucket: Bucket,
    sent: Vec<u8>,
    got: Vec<u8>,
    /// Where each piece ends in `sent`, when it arrived, whether it is a head.
    pieces: Vec<(usize, Duration, bool)>,
    ended: bool,
}

impl Rig {
    fn new() -> Self {
        Self {
            now: Duration::ZERO,
            link: Setting::default(),
            back: Setting::default(),
            lane: Lane::default(),
            bucket: Bucket::default(),
            sent: Vec::new(),
            got: Vec::new(),
            pieces: Vec::new(),
            ended: false,
        }
    }

    fn arrive(&mut self, data: &[u8], head: bool, lot: u16) {
        self.sent.extend(data);
        self.pieces.push((self.sent.len(), self.now, head));
        self.lane.push(self.now, Bytes::copy_from_slice(data), head, lot);
    }

    /// Lets out all that may go now; checks each piece against what the link allows.
    fn drain(&mut self) {
        loop {
            let back_closed = self.back.is_closed(self.now);
            match self.lane.next(self.now, &self.link, back_closed, &mut self.bucket) {
                Next::Send(data) => {
                    assert!(!data.is_empty());
                    let at = self.got.len();
                    let piece = self.pieces.iter().find(|(end, _, _)| *end > at).unwrap();
                    if self.link.is_closed(self.now) {
                        assert!(piece.2 && !back_closed, "only a head passes, and only one way");
                    }
                    if let LinkFault::Delay { ms: delay, jitter_ms } = self.link.fault {
                        assert!(self.now >= piece.1 + ms(delay - jitter_ms), "too early");
                    }
                    self.got.extend(&data);
                    assert!(self.sent.starts_with(&self.got), "changed, lost or out of order");
                }
                Next::End => {
                    assert_eq!(self.got, self.sent);
                    self.ended = true;
                    return;
                }
                Next::Wait(until) => {
                    assert!(until.is_none_or(|until| until > self.now), "waits for the past");
                    return;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn what_comes_out_is_what_went_in(acts in prop::collection::vec(act(), 0..80)) {
        let mut rig = Rig::new();
        for act in acts {
            match act {
                Act::Pass(passed) => rig.now += ms(passed),
                Act::Arrive(data, head, lot) => rig.arrive(&data, head, lot),
                Act::Set(fault) => rig.link = rig.link.with(fault, rig.now),
                Act::SetBack(fault) => rig.back = rig.back.with(fault, rig.now),
            }
            rig.drain();
        }
        rig.lane.end(rig.now, 0);
        rig.link = rig.link.with(LinkFault::Ok, rig.now);
        rig.drain();
        prop_assert!(rig.ended);
        prop_assert_eq!(rig.got, rig.sent);
    }

    /// Whoever does what the lane says, and waits as long as it says, gets everything.
    #[test]
    fn waiting_as_told_is_enough(
        data in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..400), 0..10),
        fault in fault().prop_filter("never ends", |fault| *fault != LinkFault::Freeze),
    ) {
        let mut rig = Rig::new();
        rig.link = set(fault);
        for piece in data {
            rig.arrive(&piece, false, 77);
        }
        rig.lane.end(rig.now, 0);
        for _ in 0..100_000 {
            rig.drain();
            if rig.ended {
                break;
            }
            match rig.lane.next(rig.now, &rig.link, false, &mut rig.bucket) {
                Next::Wait(Some(until)) => rig.now = until,
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(rig.ended);
    }

    #[test]
    fn a_rate_holds_over_every_stretch_of_time(
        rate in 1u64..100_000,
        steps in prop::collection::vec((0u64..200, 0usize..5000), 1..60),
    ) {
        let (mut bucket, mut now) = (Bucket::default(), Duration::ZERO);
        let mut taken = vec![(now, 0u64)];
        let mut total = 0;
        for (passed, want) in steps {
            now += ms(passed);
            if let Ok(granted) = bucket.take(now, rate, want) {
                prop_assert!(granted <= want);
                total += granted as u64;
                taken.push((now, total));
            }
        }
        for (at, (from, before)) in taken.iter().enumerate() {
            for (to, after) in &taken[at + 1..] {
                let most = (*to - *from + BURST).as_nanos() * u128::from(rate) / NANOSECONDS + 2;
                // What was granted at `from` is in `before`.
                prop_assert!(u128::from(after - before) <= most.max(1));
            }
        }
    }
}

#[test]
fn a_frozen_link_asks_for_nothing_and_lets_nothing_go() {
    let mut lane = Lane::default();
    let frozen = set(LinkFault::Freeze);
    assert!(!lane.wants_more(ms(1), &frozen, false, false));
    lane.push(ms(1), Bytes::from_static(b"x"), false, 0);
    let later = ms(3_600_000);
    assert_eq!(lane.next(later, &frozen, false, &mut Bucket::default()), Next::Wait(None));
}

#[test]
fn a_head_passes_a_one_way_cut_and_its_body_does_not() {
    let mut lane = Lane::default();
    let (frozen, mut bucket) = (set(LinkFault::Freeze), Bucket::default());
    assert!(lane.wants_more(ms(1), &frozen, false, true));
    assert!(!lane.wants_more(ms(1), &frozen, true, true), "not when both ways are cut");
    lane.push(ms(1), Bytes::from_static(b"GET"), true, 0);
    lane.push(ms(1), Bytes::from_static(b"body"), false, 0);
    assert_eq!(lane.next(ms(2), &frozen, true, &mut bucket), Next::Wait(None));
    let head = Bytes::from_static(b"GET");
    assert_eq!(lane.next(ms(2), &frozen, false, &mut bucket), Next::Send(head));
    assert_eq!(lane.next(ms(2), &frozen, false, &mut bucket), Next::Wait(None));
}

#[test]
fn delays_are_pipelined_and_jitter_does_not_reorder() {
    let mut lane = Lane::default();
    let (slow, mut bucket) = (set(LinkFault::Delay { ms: 100, jitter_ms: 50 }), Bucket::default());
    lane.push(ms(0), Bytes::from_static(b"a"), false, u16::MAX);
    lane.push(ms(1), Bytes::from_static(b"b"), false, 0);
    assert_eq!(lane.next(ms(60), &slow, false, &mut bucket), Next::Wait(Some(ms(150))));
    // Both at 150: b did not wait for its own time after a's.
    for piece in [&b"a"[..], b"b"] {
        assert_eq!(lane.next(ms(150), &slow, false, &mut bucket), Next::Send(piece.into()));
    }
}

#[test]
fn a_flap_begins_up_and_says_when_it_is_up_again() {
    let flap = Setting::default().with(LinkFault::Flap { up_ms: 300, down_ms: 700 }, ms(50));
    assert!(!flap.is_closed(ms(349)));
    assert_eq!(flap.gate(ms(350)), Gate::Closed(Some(ms(1050))));
    assert!(!flap.is_closed(ms(1050)));
    assert!(flap.is_closed(ms(1350)));
}

#[test]
fn connections_end_after_a_long_freeze_and_at_a_reset() {
    let frozen = set(LinkFault::Freeze);
    assert_eq!(frozen.with(LinkFault::Ok, ms(5000)).resets, 0);
    assert_eq!(frozen.with(LinkFault::Ok, ms(5001)).resets, 1);
    assert_eq!(frozen.with(LinkFault::Freeze, ms(9000)), frozen, "frozen since the first time");
    assert_eq!(Setting::default().with(LinkFault::Reset, ms(1)).resets, 1);
}

#[test]
fn a_new_connection_needs_one_way_open_and_none_reset() {
    let (ok, frozen, reset) = (set(LinkFault::Ok), set(LinkFault::Freeze), set(LinkFault::Reset));
    let flap = set(LinkFault::Flap { up_ms: 10, down_ms: 10 });
    assert_eq!(admit(&ok, &ok, ms(1)), Admission::Go);
    assert_eq!(admit(&frozen, &ok, ms(1)), Admission::Go);
    assert_eq!(admit(&ok, &frozen, ms(1)), Admission::Go);
    assert_eq!(admit(&frozen, &frozen, ms(1)), Admission::Wait(None));
    assert_eq!(admit(&frozen, &flap, ms(15)), Admission::Wait(Some(ms(20))));
    assert_eq!(admit(&frozen, &reset, ms(1)), Admission::Refuse);
    assert_eq!(admit(&reset, &ok, ms(1)), Admission::Refuse);
}
