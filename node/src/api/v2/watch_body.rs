//! The body of an answer that waits: one event and the end, or events for as long as the
//! client reads. The watcher ends with the body, so with the client's connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::json;
use crate::v2::hub::Watch;

/// See the module.
pub struct WatchBody {
    watch: Option<Watch>,
    stream: bool,
}

impl WatchBody {
    /// The events of `watch`: all of them if `stream`, else the first.
    pub fn new(watch: Watch, stream: bool) -> Self {
        Self { watch: Some(watch), stream }
    }
}

impl http_body::Body for WatchBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(watch) = &mut self.watch else { return Poll::Ready(None) };
        let event = std::task::ready!(watch.events.poll_recv(context));
        if event.is_none() || !self.stream {
            self.watch = None;
        }
        Poll::Ready(event.map(|event| Ok(Frame::data(Bytes::from(json::event(&event, true))))))
    }

    fn is_end_stream(&self) -> bool {
        self.watch.is_none()
    }
}
