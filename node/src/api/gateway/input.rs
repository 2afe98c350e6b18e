//! The JSON objects of a request's body, one after the other, as they come in.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::Stream;
use http_body::Body;
use prost_reflect::MessageDescriptor;
use tonic::Status;

use super::schema::from_json;
use crate::api::status;

/// Finds where an object ends, without understanding what is in it.
#[derive(Default)]
struct Objects {
    bytes: Vec<u8>,
    /// Bytes that were looked at.
    seen: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Objects {
    fn push(&mut self, chunk: impl Buf) {
        let mut chunk = chunk;
        while chunk.has_remaining() {
            let part = chunk.chunk();
            self.bytes.extend_from_slice(part);
            let length = part.len();
            chunk.advance(length);
        }
    }

    /// The next whole object; nothing if more is needed.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        if self.depth == 0 {
            let space = self.bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.bytes.drain(..space);
            match self.bytes.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => return Err(unexpected(*other)),
            }
        }
        while let Some(byte) = self.bytes.get(self.seen) {
            self.seen += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            if self.depth == 0 {
                let rest = self.bytes.split_off(self.seen);
                self.seen = 0;
                return Ok(Some(std::mem::replace(&mut self.bytes, rest)));
            }
        }
        Ok(None)
    }
}

fn unexpected(byte: u8) -> Status {
    let text = match byte {
        b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            format!("proto: syntax error (line 1:1): unexpected token {}", char::from(byte))
        }
        byte => format!("invalid character {:?} looking for beginning of value", char::from(byte)),
    };
    Status::invalid_argument(text)
}

/// The messages of a request's body.
pub struct Messages<B> {
    body: B,
    message: MessageDescriptor,
    objects: Objects,
    /// What an object may have in bytes.
    limit: usize,
    done: bool,
}

impl<B> Messages<B>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    pub fn new(body: B, message: MessageDescriptor, limit: usize) -> Self {
        // Base64 and names take more room than the message.
        let limit = limit.saturating_mul(2);
        Self { body, message, objects: Objects::default(), limit, done: false }
    }

    /// The next message, encoded; nothing at the end of the body.
    pub async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        std::future::poll_fn(|context| self.poll_message(context)).await
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let outcome = ready!(self.poll_object(context));
        let outcome =
            outcome.map(|object| object.and_then(|json| from_json(self.message.clone(), &json)));
        // Behind nonsense there is no sense to be found.
        self.done = !matches!(outcome, Some(Ok(_)));
        Poll::Ready(outcome)
    }

    fn poll_object(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Status>>> {
        loop {
            match self.objects.next() {
                Ok(Some(object)) => return Poll::Ready(Some(Ok(object))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let have = self.objects.bytes.len();
            if have > self.limit {
                let (size, limit) = (have as u64, self.limit as u64);
                return Poll::Ready(Some(Err(status::message_too_large(size, limit))));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.objects.push(data);
                    }
                }
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(Status::invalid_argument(error.to_string()))));
                }
                None if have == 0 => return Poll::Ready(None),
                None => {
                    let error = Status::invalid_argument("unexpected EOF");
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

/// As a stream it ends at what it does not understand, as in etcd: what was said until then
/// holds.
impl<B> Stream for Messages<B>
where
    B: Body + Unpin,
    B::Error: std::fmt::Display,
{
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let message = ready!(self.get_mut().poll_message(context));
        Poll::Ready(message.and_then(Result::ok))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use proptest::prelude::*;

    use super::*;

    /// The objects of a text that comes in pieces of `step` bytes, and how it ends.
    fn objects(text: &[u8], step: usize) -> (Vec<Vec<u8>>, Result<usize, Status>) {
        let mut objects = Objects::default();
        let mut found = Vec::new();
        for piece in text.chunks(step) {
            objects.push(piece);
            loop {
                match objects.next() {
                    Ok(Some(object)) => found.push(object),
                    Ok(None) => break,
                    Err(error) => return (found, Err(error)),
                }
            }
        }
        (found, Ok(objects.bytes.len()))
    }

    #[test]
    fn objects_end_where_they_end() {
        let text = br#" {"a":"}\"{"} {}{"b":[{"c":"\\"}]}
            {"d""#;
        for step in [1, 2, 3, 100] {
            let (found, rest) = objects(text, step);
            let found: Vec<_> =
                found.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
            assert_eq!(found, [r#"{"a":"}\"{"}"#, "{}", r#"{"b":[{"c":"\\"}]}"#]);
            assert_eq!(rest.unwrap(), 4);
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["[]", "null", "x", "\"x\"", "5", "}", ",", "\u{e9}", "{}]"] {
            let (_, end) = objects(text.as_bytes(), 1);
            assert_eq!(end.expect_err(text).code(), tonic::Code::InvalidArgument, "{text}");
        }
    }

    proptest! {
        /// Whatever comes in, the same objects are found however it is cut.
        #[test]
        fn cuts_do_not_matter(text in "[ {}\\[\\]\"\\\\a:,]{0,40}", step in 1..8usize) {
            let whole = objects(text.as_bytes(), 100);
            let cut = objects(text.as_bytes(), step);
            prop_assert_eq!(whole.0, cut.0);
            prop_assert_eq!(whole.1.map_err(|e| e.code()), cut.1.map_err(|e| e.code()));
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_object_is_limited_and_a_body_is_not() {
        let message = super::super::schema::schema().method("etcdserverpb.KV/Range").unwrap();
        let objects = |text: String| {
            let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
            Messages::<_>::new(
                body.map_err(|never: std::convert::Infallible| never),
                message.input(),
                32,
            )
        };
        let mut many = objects(r#"{"key":"YQ=="} "#.repeat(50));
        for _ in 0..50 {
            assert!(matches!(many.next().await, Some(Ok(_))));
        }
        assert!(many.next().await.is_none());
        let mut cut = objects(r#"{"key":"YQ=="}{"#.into());
        assert!(matches!(cut.next().await, Some(Ok(_))));
        assert_eq!(cut.next().await.unwrap().unwrap_err().message(), "unexpected EOF");
        assert!(cut.next().await.is_none());
        let mut large = objects(format!(r#"{{"key":"{}"#, "A".repeat(100)));
        let error = large.next().await.unwrap().unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        assert!(error.message().starts_with("grpc: received message larger than max"));
    }
}
