//! Writers that remember what was acknowledged.
//!
//! Every write has a key and a value of its own, so a lost one cannot hide behind a later
//! one, and a value in the wrong place shows. A failed write is not judged: it may or may
//! not have happened. An acknowledged one must be there, at the revision it was told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proto::etcdserverpb::PutRequest;
use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::kv_client::KvClient;
use tonic::transport::{Channel, Endpoint};

use super::PATIENCE;
use super::client::{Client, Refusal};

/// All keys of the load start with this.
const PREFIX: &str = "load/";

/// One acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub key: String,
    pub value: String,
    pub revision: i64,
}

#[derive(Default)]
struct Shared {
    acks: Mutex<Vec<Ack>>,
    grown: Condvar,
    stop: AtomicBool,
}

/// Running writers.
pub struct Load {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts `writers` writers; each begins at another endpoint and goes on to the next one
    /// after a failure.
    pub fn start(endpoints: &[String], writers: usize) -> Load {
        // A later load of the same test must not overwrite what an earlier one wrote.
        static LOADS: AtomicUsize = AtomicUsize::new(0);
        let number = LOADS.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared::default());
        let spawn = |writer: usize| {
            let (shared, endpoints) = (shared.clone(), endpoints.to_vec());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(write(number, writer, &endpoints, &shared));
            })
        };
        let writers = (0..writers).map(spawn).collect();
        Load { shared, writers }
    }

    pub fn acknowledged(&self) -> usize {
        self.shared.acks.lock().expect("acks").len()
    }

    /// Waits until `more` writes have been acknowledged from now on.
    pub fn wait_for(&self, more: usize) {
        let acks = self.shared.acks.lock().expect("acks");
        let wanted = acks.len() + more;
        let (acks, _) = self
            .shared
            .grown
            .wait_timeout_while(acks, PATIENCE, |acks| acks.len() < wanted)
            .expect("acks");
        assert!(acks.len() >= wanted, "writes do not go on: {} of {wanted}", acks.len());
    }

    /// Ends the writers and returns what was acknowledged.
    pub fn stop(mut self) -> Vec<Ack> {
        self.shared.stop.store(true, Ordering::Release);
        for writer in self.writers.drain(..) {
            writer.join().expect("a writer");
        }
        std::mem::take(&mut *self.shared.acks.lock().expect("acks"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

/// One writer: a put at a time, until told to stop.
async fn write(load: usize, writer: usize, endpoints: &[String], shared: &Shared) {
    let mut turn = writer;
    let mut client = connect(&endpoints[turn % endpoints.len()]);
    for number in 0u64.. {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let key = format!("{PREFIX}{load}/{writer}/{number:08}");
        let value = format!("value {number} of writer {writer} of load {load}");
        let request = PutRequest {
            key: key.clone().into(),
            value: value.clone().into(),
            ..Default::default()
        };
        match client.put(request).await {
            Ok(answer) => {
                let revision = answer.into_inner().header.expect("a header").revision;
                shared.acks.lock().expect("acks").push(Ack { key, value, revision });
                shared.grown.notify_all();
            }
            Err(_) => {
                // A dead endpoint refuses at once; do not spin on it.
                tokio::time::sleep(Duration::from_millis(20)).await;
                turn += 1;
                client = connect(&endpoints[turn % endpoints.len()]);
            }
        }
    }
}

fn connect(url: &str) -> KvClient<Channel> {
    let endpoint = Endpoint::from_shared(url.to_string())
        .expect("a URL")
        .connect_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(3));
    KvClient::new(endpoint.connect_lazy())
}

/// Everything of the load that a node holds, by key: value and mod revision.
pub fn stored(client: &Client) -> Result<BTreeMap<String, (String, i64)>, Refusal> {
    let mut all = BTreeMap::new();
    let mut from = PREFIX.to_string();
    loop {
        let answer = client.range(RangeRequest {
            key: from.clone().into(),
            range_end: "load0".into(),
            limit: 5_000,
            ..Default::default()
        })?;
        for kv in &answer.kvs {
            let key = String::from_utf8_lossy(&kv.key).into_owned();
            from = format!("{key}\0");
            all.insert(key, (String::from_utf8_lossy(&kv.value).into_owned(), kv.mod_revision));
        }
        if !answer.more {
            return Ok(all);
        }
    }
}

/// Every acknowledged write is there, unchanged, at the revision that was told; and no
/// revision was told twice.
pub fn assert_kept(client: &Client, acks: &[Ack]) {
    let started = Instant::now();
    let stored = loop {
        match stored(client) {
            Ok(stored) => break stored,
            Err(refusal) if started.elapsed() > PATIENCE => panic!("no read: {refusal:?}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let lost: Vec<&Ack> = acks
        .iter()
        .filter(|ack| stored.get(&ack.key) != Some(&(ack.value.clone(), ack.revision)))
        .collect();
    let shown = lost.len().min(5);
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are missing or changed, first {:?}",
        lost.len(),
        acks.len(),
        &lost[..shown]
    );
    let mut revisions: Vec<i64> = acks.iter().map(|ack| ack.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), acks.len(), "two writes were told the same revision");
}
