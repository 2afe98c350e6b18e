//! Counts the messages in a gRPC body as it passes by.
//!
//! A body is a run of messages, each behind five bytes: one of flags, four of length. Frames
//! of HTTP/2 cut it anywhere, so the count is kept over frames; nothing is copied or held.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};

const PREFIX: usize = 5;

/// Where in the run of messages the last frame ended.
#[derive(Default)]
pub struct Messages {
    prefix: [u8; PREFIX],
    filled: usize,
    /// Bytes of the present message that are still to come.
    rest: usize,
}

impl Messages {
    /// How many messages begin in `bytes`.
    pub fn pass(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while !bytes.is_empty() {
            let skipped = self.rest.min(bytes.len());
            self.rest -= skipped;
            bytes = &bytes[skipped..];
            let taken = (PREFIX - self.filled).min(bytes.len());
            self.prefix[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.rest = u32::from_be_bytes(length) as usize;
                self.filled = 0;
                begun += 1;
            }
        }
        begun
    }
}

/// A request's body whose messages are counted.
pub struct CountedRequest<B> {
    body: B,
    messages: Messages,
    count: Arc<AtomicU64>,
}

impl<B> CountedRequest<B> {
    /// Adds to `count` what passes through `body`.
    pub fn new(body: B, count: Arc<AtomicU64>) -> Self {
        Self { body, messages: Messages::default(), count }
    }
}

impl<B: Body + Unpin> Body for CountedRequest<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            // A request's frame is one piece of memory.
            let begun = this.messages.pass(data.chunk());
            this.count.fetch_add(begun, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the body is cut, the count is that of the messages put in.
        #[test]
        fn any_cut_gives_the_same_count(
            lengths in proptest::collection::vec(0..20usize, 0..8),
            cut in 1..12usize,
        ) {
            let mut body = Vec::new();
            for length in &lengths {
                body.push(0);
                body.extend((*length as u32).to_be_bytes());
                body.extend(std::iter::repeat_n(7, *length));
            }
            let mut messages = Messages::default();
            let counted: u64 = body.chunks(cut).map(|piece| messages.pass(piece)).sum();
            prop_assert_eq!(counted, lengths.len() as u64);
        }
    }
}
