//! `--grpc-keepalive-min-time`: who pings more often is sent away.
//!
//! HTTP/2 answers pings by itself and tells nobody, so the frames of a connection are looked
//! at on their way through: of the client's the pings are counted, of ours it is noticed
//! whether anything of worth went out, for that allows a ping at once (a client measures its
//! window by pings after data). The rule and its numbers are grpc-go's: the third ping that
//! comes too early ends the connection with GOAWAY `too_many_pings`, which makes its clients
//! double their interval. Only headers of frames are read, and nothing is changed.
//!
//! One leniency: grpc-go also counts pings as too early that come without any call open.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const ACK: u8 = 1;
/// Early pings that are forgiven.
const FORGIVEN: u32 = 2;
/// A GOAWAY of 8 bytes and a text: for no stream in particular, ENHANCE_YOUR_CALM.
const GO_AWAY: &[u8] =
    b"\x00\x00\x16\x07\x00\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x0btoo_many_pings";

/// Where in a sequence of frames a stream of bytes is.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; FRAME_HEADER],
    filled: usize,
    /// Of the frame whose header is complete.
    payload_left: usize,
}

impl Frames {
    /// Calls `seen` with type and flags of each frame that begins in `bytes`.
    fn follow(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (FRAME_HEADER - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == FRAME_HEADER {
                self.filled = 0;
                let [high, middle, low, kind, flags, ..] = self.head;
                self.payload_left = u32::from_be_bytes([0, high, middle, low]) as usize;
                seen(kind, flags);
            }
        }
    }

    fn is_between(&self) -> bool {
        self.filled == 0 && self.payload_left == 0
    }
}

/// When pings came, and whether they came too early.
#[derive(Debug, Default)]
struct Strikes {
    last: Option<Instant>,
    count: u32,
    /// Something was sent since the last ping.
    forgiven: bool,
}

impl Strikes {
    /// A ping at `now`; true if it is one too many.
    fn ping(&mut self, now: Instant, least: Duration) -> bool {
        let early = self.last.is_some_and(|last| now.duration_since(last) < least);
        self.last = Some(now);
        if std::mem::take(&mut self.forgiven) {
            self.count = 0;
        } else if early {
            self.count += 1;
        }
        self.count > FORGIVEN
    }
}

/// A connection whose pings are counted.
pub struct Guarded<S> {
    stream: S,
    least: Duration,
    phase: Phase,
    incoming: Frames,
    outgoing: Frames,
    strikes: Strikes,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// This much of the preface was seen.
    Preface(usize),
    Frames,
    /// No HTTP/2, or nothing to be held to.
    Aside,
    /// Sent away.
    Ended,
}

impl<S> Guarded<S> {
    /// Pings must be `least` apart; zero means that they need not.
    pub fn new(stream: S, least: Duration) -> Self {
        let phase = if least.is_zero() { Phase::Aside } else { Phase::Preface(0) };
        let (incoming, outgoing) = (Frames::default(), Frames::default());
        Self { stream, least, phase, incoming, outgoing, strikes: Strikes::default() }
    }

    /// Looks at what came; true if the client must go.
    fn received(&mut self, mut bytes: &[u8]) -> bool {
        if let Phase::Preface(seen) = self.phase {
            let expected = &PREFACE[seen..];
            let count = expected.len().min(bytes.len());
            if bytes[..count] != expected[..count] {
                self.phase = Phase::Aside;
                return false;
            }
            bytes = &bytes[count..];
            let seen = seen + count;
            self.phase = if seen == PREFACE.len() { Phase::Frames } else { Phase::Preface(seen) };
        }
        if self.phase != Phase::Frames {
            return false;
        }
        let (strikes, least) = (&mut self.strikes, self.least);
        let mut too_many = false;
        self.incoming.follow(bytes, |kind, flags| {
            if kind == PING && flags & ACK == 0 {
                too_many |= strikes.ping(Instant::now(), least);
            }
        });
        too_many
    }

    fn sent(&mut self, bytes: &[u8]) {
        if matches!(self.phase, Phase::Aside) {
            return;
        }
        let forgiven = &mut self.strikes.forgiven;
        self.outgoing.follow(bytes, |kind, _| *forgiven |= matches!(kind, DATA | HEADERS));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.phase == Phase::Ended {
            return Poll::Ready(Ok(()));
        }
        let before = out.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, out))?;
        if this.phase == Phase::Aside || !this.received(&out.filled()[before..]) {
            return Poll::Ready(Ok(()));
        }
        this.phase = Phase::Ended;
        // What comes with an error was not read.
        out.set_filled(before);
        // In the middle of a frame nothing can be said, and then nothing is.
        if this.outgoing.is_between() {
            let _ = Pin::new(&mut this.stream).poll_write(context, GO_AWAY);
        }
        let text = "ENHANCE_YOUR_CALM: too_many_pings";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, text)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.phase == Phase::Ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.sent(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.phase == Phase::Ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let part = slice.len().min(left);
            this.sent(&slice[..part]);
            left -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PING_FRAME: [u8; 17] = [0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = Vec::new();
        for kind in [DATA, HEADERS, PING] {
            bytes.extend([0, 0, 5, kind, kind, 0, 0, 0, 0, b'P', b'R', b'I', 6, 6]);
        }
        for step in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(step) {
                frames.follow(part, |kind, flags| seen.push((kind, flags)));
            }
            assert_eq!(seen, [(DATA, 0), (HEADERS, 1), (PING, 6)], "{step}");
            assert!(frames.is_between());
        }
    }

    #[test]
    fn the_third_early_ping_is_one_too_many() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let least = Duration::from_secs(5);
        let mut strikes = Strikes::default();
        assert!(!strikes.ping(at(0), least));
        assert!(!strikes.ping(at(1), least));
        assert!(!strikes.ping(at(2), least));
        // What is sent in between forgives everything so far.
        strikes.forgiven = true;
        assert!(!strikes.ping(at(3), least));
        assert!(!strikes.ping(at(4), least));
        assert!(!strikes.ping(at(5), least));
        assert!(!strikes.ping(at(60), least));
        assert!(strikes.ping(at(61), least));
    }

    #[tokio::test]
    async fn who_pings_too_often_is_told_and_sent_away() {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut guarded = Guarded::new(server, Duration::from_secs(5));
        client.write_all(PREFACE).await.unwrap();
        for _ in 0..4 {
            client.write_all(&PING_FRAME).await.unwrap();
        }
        let mut taken = Vec::new();
        let error = guarded.read_to_end(&mut taken).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(guarded.write_all(b"late").await.is_err());
        drop(guarded);
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, GO_AWAY);
        assert_eq!(usize::from(GO_AWAY[2]), GO_AWAY.len() - FRAME_HEADER);
    }

    #[tokio::test]
    async fn http_1_and_patient_clients_are_let_alone() {
        let other = b"GET /health HTTP/1.1\r\n\r\n".repeat(3);
        let pings = [PREFACE, &PING_FRAME.repeat(3)].concat();
        for bytes in [other, pings] {
            let (mut client, server) = tokio::io::duplex(4096);
            let mut guarded = Guarded::new(server, Duration::from_secs(5));
            client.write_all(&bytes).await.unwrap();
            drop(client);
            let mut taken = Vec::new();
            guarded.read_to_end(&mut taken).await.unwrap();
            assert_eq!(taken, bytes);
        }
    }
}
