//! Reads for the key screen: listings, values, counts, leases, searches.

use super::failure::within;
use super::pool::{MESSAGE_BYTES_MOST, Pool, Wire};
use crate::effect::ListQuery;
use crate::model::browser::prefix_end;
use crate::msg::{Failure, FailureKind, KeyMeta, Msg, Reply, ScanProgress};
use crate::text;
use crate::walk::{Walk, range_start};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::{LeaseTimeToLiveRequest, RangeRequest, RangeResponse};
use proto::mvccpb::KeyValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A listing answers with what it has after this long, so that the first rows show soon.
const LIST_FOR: Duration = Duration::from_millis(120);
/// Counting or searching a large store takes the server a while.
const LONG_ANSWER_WITHIN: Duration = Duration::from_secs(20);
const SCAN_PAGE: i64 = 10_000;
/// More matches than this are not looked at; the search says that it stopped.
const MATCHES_MOST: usize = 10_000;
/// Endpoints tried for one read.
const TRIES: usize = 2;

pub fn kv(channel: Wire) -> KvClient<Wire> {
    KvClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MOST)
}

pub fn meta(kv: &KeyValue) -> KeyMeta {
    KeyMeta {
        key: kv.key.to_vec(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}

/// Reads from the best endpoint, and from the next one if that cannot be reached.
async fn range(
    pool: &Pool,
    request: RangeRequest,
    limit: Duration,
) -> Result<RangeResponse, Failure> {
    let mut last = Failure::new(FailureKind::Address, "no endpoint can be asked");
    for (_, channel) in pool.best().into_iter().take(TRIES) {
        match within(limit, kv(channel).range(request.clone())).await {
            Err(failure) if failure.kind == FailureKind::Refused => last = failure,
            outcome => return outcome,
        }
    }
    Err(last)
}

fn revision(answer: &RangeResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}

/// Children of a prefix: as many as wanted, or as many as can be had quickly.
pub async fn list(pool: &Pool, query: ListQuery) -> Result<Reply, Failure> {
    let started = Instant::now();
    let mut at = query.revision;
    let mut walk = Walk::new(query.prefix, query.from, query.flat);
    while let Some(next) = walk.next.clone() {
        let enough = walk.children.len() >= query.want || started.elapsed() > LIST_FOR;
        if enough && !walk.children.is_empty() {
            break;
        }
        let request = RangeRequest {
            key: range_start(&next).into(),
            range_end: walk.end().into(),
            limit: walk.limit,
            revision: at,
            serializable: query.serializable,
            keys_only: true,
            ..RangeRequest::default()
        };
        let answer = range(pool, request, ANSWER_WITHIN).await?;
        if at == 0 {
            at = revision(&answer);
        }
        walk.absorb(answer.kvs.iter().map(meta).collect(), answer.more);
    }
    Ok(Reply::Listing { children: walk.children, next: walk.next, revision: at })
}

pub async fn get(pool: &Pool, key: Vec<u8>, serializable: bool) -> Result<Reply, Failure> {
    let request = RangeRequest { key: key.into(), serializable, ..RangeRequest::default() };
    let answer = range(pool, request, ANSWER_WITHIN).await?;
    let revision = revision(&answer);
    let found = answer.kvs.into_iter().next().map(|kv| (meta(&kv), kv.value.to_vec()));
    Ok(Reply::Value { revision, found })
}

pub async fn count(pool: &Pool, prefix: Vec<u8>, serializable: bool) -> Result<Reply, Failure> {
    let request = RangeRequest {
        key: range_start(&prefix).into(),
        range_end: prefix_end(&prefix).into(),
        count_only: true,
        serializable,
        ..RangeRequest::default()
    };
    let answer = range(pool, request, LONG_ANSWER_WITHIN).await?;
    Ok(Reply::Count { count: answer.count })
}

pub async fn lease(pool: &Pool, lease: i64) -> Result<Reply, Failure> {
    let Some((_, channel)) = pool.best().into_iter().next() else {
        return Err(Failure::new(FailureKind::Address, "no endpoint can be asked"));
    };
    let request = LeaseTimeToLiveRequest { id: lease, keys: false };
    let mut client = LeaseClient::new(channel);
    let answer = within(ANSWER_WITHIN, client.lease_time_to_live(request)).await?;
    Ok(Reply::Lease { ttl_s: answer.ttl, granted_s: answer.granted_ttl })
}

/// A search, as the reducer asked for it.
pub struct Scan {
    pub generation: u64,
    pub prefix: Vec<u8>,
    pub needle: String,
    pub serializable: bool,
}

/// Reads every key under the prefix at one revision and reports those that match.
pub async fn scan(pool: Arc<Pool>, messages: mpsc::Sender<Msg>, scan: Scan) {
    let (mut at, mut from) = (0, range_start(&scan.prefix));
    let (mut scanned, mut found, mut total) = (0u64, 0usize, 0u64);
    loop {
        let request = RangeRequest {
            key: from.clone().into(),
            range_end: prefix_end(&scan.prefix).into(),
            limit: SCAN_PAGE,
            revision: at,
            serializable: scan.serializable,
            keys_only: true,
            ..RangeRequest::default()
        };
        let mut progress = ScanProgress { scanned, total, done: true, ..ScanProgress::default() };
        match range(&pool, request, LONG_ANSWER_WITHIN).await {
            Err(failure) => progress.stopped = Some(failure.text),
            Ok(answer) => {
                if at == 0 {
                    at = revision(&answer);
                    total = answer.count.max(0) as u64;
                }
                scanned += answer.kvs.len() as u64;
                if let Some(last) = answer.kvs.last() {
                    from = last.key.to_vec();
                    from.push(0);
                }
                let matching = answer
                    .kvs
                    .iter()
                    .filter(|kv| text::passes(&text::escape(&kv.key), &scan.needle));
                progress.matches = matching.map(meta).take(MATCHES_MOST - found).collect();
                found += progress.matches.len();
                (progress.scanned, progress.total) = (scanned, total.max(scanned));
                progress.done = !answer.more;
                if found >= MATCHES_MOST && answer.more {
                    progress.done = true;
                    progress.stopped = Some("too many matches, narrow it down".to_owned());
                }
            }
        }
        let done = progress.done;
        let generation = scan.generation;
        let sent = messages.send(Msg::ScanProgress { generation, progress }).await;
        if done || sent.is_err() {
            return;
        }
    }
}
