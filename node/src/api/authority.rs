//! Lets clients in that name a URL where a host belongs.
//!
//! etcdctl 3.4 (and every client of that Go library) sends `http://127.0.0.1:2379` as the
//! `:authority` of requests to a single endpoint. etcd does not mind; the h2 crate resets the
//! stream, because that is no authority. This reader looks at the first header block of a
//! connection. If its authority is well formed, which is the rule, it steps aside for good
//! and costs nothing. If not, it rewrites the header blocks of this connection: decoded,
//! mended, and encoded again without compression, so that no table is shared between the
//! two sides.
//!
//! Bytes that are not HTTP/2, or not understood, are passed on as they are: saying what is
//! wrong with them is the work of the HTTP library behind.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use loona_hpack::Decoder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER: usize = 9;
/// Largest frame before the peers agree on more, and so the largest we write.
const FRAME_MAX: usize = 16 << 10;
/// A header block larger than this is left to the HTTP library to refuse.
const BLOCK_MAX: usize = 64 << 10;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A connection whose header blocks are mended if they must be; see the module.
pub struct Mended<S> {
    stream: S,
    state: State,
    /// From the client, not looked at yet.
    raw: Vec<u8>,
    /// For the HTTP library.
    ready: Vec<u8>,
    given: usize,
}

enum State {
    /// Nothing seen yet.
    Begin,
    /// HTTP/2; `rewriting` once an authority was found to be wrong.
    Frames { decoder: Box<Decoder<'static>>, block: Option<Block>, rewriting: bool },
    /// Nothing (more) to do.
    Aside,
}

/// A header block whose continuation is awaited.
struct Block {
    head: [u8; FRAME_HEADER],
    bytes: Vec<u8>,
    /// The frames as they came, in case nothing needs mending.
    original: Vec<u8>,
}

impl<S> Mended<S> {
    /// Wraps a client's connection.
    pub fn new(stream: S) -> Self {
        Self { stream, state: State::Begin, raw: Vec::new(), ready: Vec::new(), given: 0 }
    }

    /// Takes in what came from the client.
    fn digest(&mut self) {
        loop {
            match &mut self.state {
                State::Begin => {
                    let seen = self.raw.len().min(PREFACE.len());
                    if self.raw[..seen] != PREFACE[..seen] {
                        self.state = State::Aside;
                    } else if seen < PREFACE.len() {
                        return;
                    } else {
                        self.ready.extend(self.raw.drain(..PREFACE.len()));
                        let decoder = Box::new(Decoder::new());
                        self.state = State::Frames { decoder, block: None, rewriting: false };
                    }
                }
                // No frame may be this long; who waited for its end would keep all of it.
                State::Frames { block, .. } if declares_too_much(&self.raw) => {
                    if let Some(open) = block.take() {
                        self.ready.extend(open.original);
                    }
                    self.state = State::Aside;
                }
                State::Frames { decoder, block, rewriting } => {
                    let Some(frame) = take_frame(&mut self.raw) else { return };
                    let done = one_frame(frame, decoder, block, rewriting, &mut self.ready);
                    // Not understood: the library behind will say what it thinks of it.
                    let done = done.unwrap_or(true);
                    if done {
                        self.state = State::Aside;
                    }
                }
                State::Aside => {
                    self.ready.append(&mut self.raw);
                    return;
                }
            }
        }
    }
}

/// The length of the frame at the front, as its header has it.
fn declared(raw: &[u8]) -> Option<usize> {
    let [high, middle, low, ..] = *raw.first_chunk::<FRAME_HEADER>()?;
    Some(u32::from_be_bytes([0, high, middle, low]) as usize)
}

fn declares_too_much(raw: &[u8]) -> bool {
    declared(raw).is_some_and(|length| length > FRAME_MAX)
}

/// One whole frame off the front, header included.
fn take_frame(raw: &mut Vec<u8>) -> Option<Vec<u8>> {
    let total = FRAME_HEADER + declared(raw)?;
    (raw.len() >= total).then(|| raw.drain(..total).collect())
}

/// Passes one frame on; true when there is nothing to mend on this connection.
fn one_frame(
    frame: Vec<u8>,
    decoder: &mut Decoder<'static>,
    block: &mut Option<Block>,
    rewriting: &mut bool,
    ready: &mut Vec<u8>,
) -> Result<bool, ()> {
    let Some(head) = frame.first_chunk::<FRAME_HEADER>().copied() else { return Err(()) };
    match (head[3], block.as_mut()) {
        (HEADERS, None) => {
            let fragment = fragment(&frame, head[4]).map(<[u8]>::to_vec);
            let Some(bytes) = fragment else {
                ready.extend(frame);
                return Err(());
            };
            *block = Some(Block { head, bytes, original: frame });
        }
        (CONTINUATION, Some(open)) if open.bytes.len() < BLOCK_MAX => {
            open.bytes.extend_from_slice(&frame[FRAME_HEADER..]);
            open.original.extend(frame);
        }
        (_, open) => {
            if let Some(open) = open {
                ready.append(&mut open.original);
                ready.extend(frame);
                return Err(());
            }
            ready.extend(frame);
            return Ok(false);
        }
    }
    if head[4] & END_HEADERS == 0 {
        return Ok(false);
    }
    let Some(mut whole) = block.take() else { return Err(()) };
    let Ok(mut headers) = decoder.decode(&whole.bytes) else {
        ready.append(&mut whole.original);
        return Err(());
    };
    if !*rewriting && !headers.iter().any(|(name, value)| is_bad_authority(name, value)) {
        ready.append(&mut whole.original);
        return Ok(true);
    }
    *rewriting = true;
    for (name, value) in &mut headers {
        if is_bad_authority(name, value) {
            *value = mend(value);
        }
    }
    write_block(&whole.head, &headers, ready);
    Ok(false)
}

/// The part of a HEADERS frame that is header block.
fn fragment(frame: &[u8], flags: u8) -> Option<&[u8]> {
    let mut payload = &frame[FRAME_HEADER..];
    let mut padding = 0;
    if flags & PADDED != 0 {
        let (length, rest) = payload.split_first()?;
        padding = usize::from(*length);
        payload = rest;
    }
    if flags & PRIORITY != 0 {
        payload = payload.get(5..)?;
    }
    payload.get(..payload.len().checked_sub(padding)?)
}

fn is_bad_authority(name: &[u8], value: &[u8]) -> bool {
    name == b":authority" && http::uri::Authority::try_from(value).is_err()
}

/// The host of a URL; a host that every parser takes if there is none to be found.
fn mend(value: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(value);
    let rest = text.split_once("://").map_or(&*text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match http::uri::Authority::try_from(host) {
        Ok(authority) => authority.as_str().as_bytes().to_vec(),
        Err(_) => b"localhost".to_vec(),
    }
}

/// Writes a header block as frames, every field literally (RFC 7541 section 6.2.2).
fn write_block(head: &[u8; FRAME_HEADER], headers: &[(Vec<u8>, Vec<u8>)], ready: &mut Vec<u8>) {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for part in [name, value] {
            write_length(part.len(), &mut block);
            block.extend_from_slice(part);
        }
    }
    let chunks = block.chunks(FRAME_MAX);
    let last = chunks.len().saturating_sub(1);
    for (number, chunk) in chunks.enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if number == 0 { head[4] & END_STREAM } else { 0 };
        if number == last {
            flags |= END_HEADERS;
        }
        // A chunk is at most 16 KiB.
        let length = (chunk.len() as u32).to_be_bytes();
        ready.extend_from_slice(&[length[1], length[2], length[3], kind, flags]);
        ready.extend_from_slice(&head[5..]);
        ready.extend_from_slice(chunk);
    }
}

/// RFC 7541 section 5.1 with a prefix of 7 bits; the top bit (Huffman) stays clear.
fn write_length(length: usize, block: &mut Vec<u8>) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.given < this.ready.len() {
                let some = out.remaining().min(this.ready.len() - this.given);
                out.put_slice(&this.ready[this.given..this.given + some]);
                this.given += some;
                if this.given == this.ready.len() {
                    this.ready.clear();
                    this.given = 0;
                }
                return Poll::Ready(Ok(()));
            }
            if matches!(this.state, State::Aside) {
                this.ready = Vec::new();
                return Pin::new(&mut this.stream).poll_read(context, out);
            }
            let mut chunk = [0; 4096];
            let mut buffer = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                // The client is gone; what it left half said goes on as it is.
                this.state = State::Aside;
            }
            this.raw.extend_from_slice(buffer.filled());
            this.digest();
            if this.ready.is_empty() && matches!(this.state, State::Aside) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
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
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn header_frame(authority: &[u8], flags: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let headers = vec![
            (b":method".to_vec(), b"POST".to_vec()),
            (b":authority".to_vec(), authority.to_vec()),
            (b"x".to_vec(), vec![b'v'; 300]),
        ];
        write_block(&[0, 0, 0, HEADERS, flags, 0, 0, 0, 1], &headers, &mut out);
        out
    }

    async fn through(bytes: &[u8], step: usize) -> Vec<u8> {
        let mut stream = tokio_test_stream(bytes, step);
        let mut out = Vec::new();
        stream.read_to_end(&mut out).await.unwrap();
        out
    }

    fn tokio_test_stream(bytes: &[u8], step: usize) -> Mended<Trickle> {
        Mended::new(Trickle { bytes: bytes.to_vec(), at: 0, step })
    }

    /// Gives a few bytes at a time.
    struct Trickle {
        bytes: Vec<u8>,
        at: usize,
        step: usize,
    }

    impl AsyncRead for Trickle {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = self.bytes.len().min(self.at + self.step.min(out.remaining()));
            out.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_url_as_authority_becomes_its_host() {
        let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let bad = [PREFACE, &ping, &header_frame(b"http://127.0.0.1:2379", END_STREAM)].concat();
        let good = [PREFACE, &ping, &header_frame(b"127.0.0.1:2379", END_STREAM)].concat();
        for step in [1, 7, 4096] {
            assert_eq!(through(&bad, step).await, good);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_well_formed_or_foreign_passes_unchanged() {
        let good = [PREFACE, &header_frame(b"localhost:2379", 0), &[1, 2, 3]].concat();
        let http = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let cut = [PREFACE, &header_frame(b"http://a:1", 0)[..20]].concat();
        let garbage = [PREFACE, &[0, 0, 4, HEADERS, END_HEADERS, 0, 0, 0, 1, 255, 255, 255, 255]];
        for bytes in [good, http, cut, garbage.concat()] {
            for step in [1, 4096] {
                assert_eq!(through(&bytes, step).await, bytes);
            }
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_frame_that_is_too_long_is_not_waited_for() {
        let open_block = [0, 0, 1, HEADERS, 0, 0, 0, 0, 1, 0x88];
        for before in [&[][..], &open_block] {
            let said = [PREFACE, before, &[0xff; FRAME_HEADER]].concat();
            let (mut client, server) = tokio::io::duplex(1024);
            tokio::io::AsyncWriteExt::write_all(&mut client, &said).await.unwrap();
            let mut heard = vec![0; said.len()];
            // The client goes on talking, so nothing but the header can tell.
            Mended::new(server).read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, said);
        }
    }

    #[test]
    fn any_text_becomes_an_authority() {
        for (text, host) in [
            ("http://a:1", "a:1"),
            ("https://[::1]:2/path", "[::1]:2"),
            ("unix://localhost:3", "localhost:3"),
            ("/tmp/socket", "localhost"),
            ("\u{0}", "localhost"),
        ] {
            assert_eq!(mend(text.as_bytes()), host.as_bytes());
        }
    }
}
