//! The lanes of the course: three requests every tenth of a second, whatever became of the
//! earlier ones.
//!
//! A request is made once. Only where nobody listened it goes on to the next endpoint, as
//! etcd's own clients do; every other failure is a finding. Answers of a tenth of a second are
//! reported together.

use super::pool::{Pool, Rank, Wire};
use crate::lab::lanes::{CELL_MS, NAMES, Sample};
use crate::lab::timeline::Cell;
use crate::msg::Msg;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::{PutRequest, RangeRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(1);
/// The only key the course writes, over and over.
const KEY: &[u8] = b"/etcd-tui/learn";

/// Runs until the receiver is gone.
pub async fn run(pool: Arc<Pool>, messages: mpsc::Sender<Msg>) {
    let origin = Instant::now();
    let mut clock = interval(Duration::from_millis(CELL_MS));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked: JoinSet<Sample> = JoinSet::new();
    let mut number = 0u64;
    loop {
        clock.tick().await;
        let mut samples = Vec::new();
        while let Some(ended) = asked.try_join_next() {
            samples.extend(ended);
        }
        let now_ms = origin.elapsed().as_millis() as u64;
        if messages.send(Msg::Lanes { now_ms, samples }).await.is_err() {
            return;
        }
        number += 1;
        for lane in 0..NAMES.len() {
            let pool = pool.clone();
            asked.spawn(async move {
                let seen = ask(&pool, lane, number).await;
                let ended = origin.elapsed().as_millis() as u64;
                Sample { lane, made_ms: now_ms, took_ms: ended.saturating_sub(now_ms), seen }
            });
        }
    }
}

async fn ask(pool: &Pool, lane: usize, number: u64) -> Cell {
    let endpoints = targets(pool, number);
    let tries = async {
        for channel in endpoints {
            match once(channel, lane, number).await {
                Ok(()) => return Cell::Ok,
                Err(status) if nobody_listened(&status) => {}
                Err(status) => return judge(&status),
            }
        }
        Cell::Refused
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap_or(Cell::Unknown)
}

/// Those that answer, beginning with a different one each time; then the silent ones.
fn targets(pool: &Pool, number: u64) -> Vec<Wire> {
    let best = pool.best();
    let answering = best.iter().filter(|(url, _)| pool.rank(url) < Rank::Silent).count();
    let mut channels: Vec<Wire> = best.into_iter().map(|(_, channel)| channel).collect();
    if answering > 0 {
        channels[..answering].rotate_left(number as usize % answering);
    }
    channels
}

async fn once(channel: Wire, lane: usize, number: u64) -> Result<(), Status> {
    let mut client = KvClient::new(channel);
    if lane == 0 {
        let value = number.to_string().into_bytes();
        let put = PutRequest { key: KEY.into(), value: value.into(), ..PutRequest::default() };
        return client.put(put).await.map(|_| ());
    }
    let range =
        RangeRequest { key: KEY.into(), serializable: lane == 2, ..RangeRequest::default() };
    client.range(range).await.map(|_| ())
}

/// The connection could not be made, so nothing was sent.
fn nobody_listened(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        cause = error.source();
    }
    false
}

/// Whether an error promises that nothing was done.
fn judge(status: &Status) -> Cell {
    match status.code() {
        Code::ResourceExhausted | Code::InvalidArgument | Code::FailedPrecondition => Cell::Refused,
        Code::Unavailable if status.message().contains("no leader") => Cell::Refused,
        _ => Cell::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endpoint_where_nobody_listens_is_a_refusal_not_a_doubt() {
        let pool = Pool::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        pool.set_endpoints(&[format!("http://127.0.0.1:{port}")]);
        for lane in 0..NAMES.len() {
            assert_eq!(ask(&pool, lane, 1).await, Cell::Refused);
        }
    }

    #[test]
    fn only_errors_that_promise_it_are_refusals() {
        assert_eq!(judge(&Status::unavailable("etcdserver: no leader")), Cell::Refused);
        assert_eq!(judge(&Status::unavailable("transport error")), Cell::Unknown);
        assert_eq!(judge(&Status::unavailable("etcdserver: request timed out")), Cell::Unknown);
    }
}
