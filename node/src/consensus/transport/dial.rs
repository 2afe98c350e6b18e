//! The sending side of a link: connect, greet, stream, and try again for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::peer::peer_client::PeerClient;
use proto::peer::{Batch, Frame, Probe, frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::super::drive::Input;
use super::{Expelled, LinkState, Transport};
use crate::metrics::Metrics;
use crate::net::Dialer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between tries. Short: a member that comes back should be heard at once.
const RETRY: Duration = Duration::from_millis(100);
/// Frames put into one message.
const BATCH_FRAMES: usize = 512;
/// Batches written and not yet taken by the connection.
const BATCHES_IN_FLIGHT: usize = 16;
/// Larger than any batch: 512 frames of at most 1 MiB never come together, but one entry
/// can be as large as a request.
const MESSAGE_BYTES_MAX: usize = 1 << 30;
const WINDOW_BYTES: u32 = 16 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Between measurements of the round trip.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// What a member is told when it has been removed; it ends then.
pub const REMOVED_TEXT: &str = "the member has been permanently removed from the cluster";

/// Opens a connection to the first of `urls` that answers.
pub async fn connect(dialer: &Dialer, urls: &[String]) -> Result<Channel, String> {
    let mut why = "it has no peer URL".to_owned();
    for url in urls {
        match dialer.connect(url, CONNECT_TIMEOUT, configure).await {
            Ok(channel) => return Ok(channel),
            Err(error) => why = format!("{url}: {error}"),
        }
    }
    Err(why)
}

fn configure(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
}

/// A client of a peer's service with limits that fit our messages.
pub fn client(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Keeps a stream to `member` open and feeds it from `frames`.
pub async fn run(
    transport: Arc<Transport>,
    member: u64,
    urls: Vec<String>,
    mut frames: mpsc::Receiver<Frame>,
    state: Arc<LinkState>,
) {
    loop {
        let why = match connect(&transport.dialer, &urls).await {
            Ok(channel) => {
                *state.connected_since.lock() = Some(Instant::now());
                let why = stream(&transport, member, channel, &mut frames, &state).await;
                *state.connected_since.lock() = None;
                Metrics::count(&state.counts.disconnects);
                why
            }
            Err(why) => why,
        };
        complain(member, &state, why);
        // What was queued for a lost connection is stale.
        while frames.try_recv().is_ok() {}
        let _ = transport.inbox.send(Input::Unreachable(member));
        tokio::time::sleep(RETRY).await;
    }
}

fn complain(member: u64, state: &LinkState, why: String) {
    let mut last = state.complained.lock();
    if last.as_ref() != Some(&why) {
        tracing::warn!(
            peer_id = %format!("{member:x}"),
            error = %why,
            "peer became inactive (message send to peer failed)"
        );
        *last = Some(why);
    }
}

/// Streams until the connection ends; says why it did.
async fn stream(
    transport: &Arc<Transport>,
    member: u64,
    channel: Channel,
    frames: &mut mpsc::Receiver<Frame>,
    state: &LinkState,
) -> String {
    let (batches, outgoing) = mpsc::channel(BATCHES_IN_FLIGHT);
    let hello = transport.identity.hello(member);
    let _ = batches.send(Batch { hello: Some(hello), frames: Vec::new() }).await;
    let mut client = client(channel);
    let call = client.stream(ReceiverStream::new(outgoing));
    tokio::pin!(call);
    let mut probe = tokio::time::interval(PROBE_INTERVAL);
    probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut buffer = Vec::new();
    loop {
        let room = batches.reserve();
        tokio::select! {
            ended = &mut call => {
                return match ended {
                    Ok(_) => "it closed the stream".to_owned(),
                    Err(status) => refused(transport, status),
                };
            }
            room = async {
                let room = room.await;
                let count = frames.recv_many(&mut buffer, BATCH_FRAMES).await;
                (room, count)
            } => {
                let (Ok(permit), 1..) = room else { return "the link was closed".to_owned() };
                let batch = Batch { hello: None, frames: std::mem::take(&mut buffer) };
                let bytes = batch.encoded_len() as u64;
                state.counts.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
                permit.send(batch);
            }
            _ = probe.tick() => {
                let probe = frame::Kind::Probe(Probe { sent_us: transport.now_us() });
                transport.send_frame(member, probe);
            }
        }
    }
}

fn refused(transport: &Transport, status: tonic::Status) -> String {
    if status.code() == Code::FailedPrecondition && status.message().contains(REMOVED_TEXT) {
        let _ = transport.expelled.send(Expelled(status.message().to_owned()));
    }
    status.message().to_owned()
}
