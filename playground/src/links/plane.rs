//! All proxies of a cluster and the state of all links: what the supervisor holds.
//!
//! A [`Plane`] has a thread and a runtime of its own, so that nothing the supervisor does
//! stands in the way of the nodes' messages. Links are set from outside at any time; the
//! connections hear of it at once. A link that was never set is ok and is remembered only
//! for its counts.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::{
    runtime::{self, Handle},
    sync::{Semaphore, oneshot, watch},
    task::JoinHandle,
};

use super::{
    LinkFault, LinkView, exchange,
    lane::{Bucket, Setting},
};

/// Connections that one node may have through its proxy. It needs a handful for each other
/// node; more wait while links are cut.
const CONNECTIONS_MAX: usize = 512;
/// How often rates are measured.
const MEASURE: Duration = Duration::from_secs(1);

/// One directed link.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub setting: watch::Sender<Setting>,
    pub bucket: Mutex<Bucket>,
    pub bytes: AtomicU64,
    pub connections: AtomicU64,
    measured: AtomicU64,
    rate: AtomicU64,
}

#[derive(Debug)]
struct Node {
    peer_port: u16,
    proxy_port: u16,
    /// Ends the listener and every connection that this node has opened.
    _closed: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(super) struct Shared {
    started: Instant,
    nodes: RwLock<BTreeMap<String, Node>>,
    links: RwLock<HashMap<(String, String), Arc<Link>>>,
}

impl Shared {
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When that is on the runtime's clock.
    pub fn instant(&self, at: Duration) -> tokio::time::Instant {
        (self.started + at).into()
    }

    pub fn link(&self, from: &str, to: &str) -> Arc<Link> {
        let key = (from.to_owned(), to.to_owned());
        if let Some(link) = self.links.read().get(&key) {
            return Arc::clone(link);
        }
        Arc::clone(self.links.write().entry(key).or_default())
    }

    /// The node that listens for its peers there.
    pub fn node_at(&self, peer_port: u16) -> Option<String> {
        let nodes = self.nodes.read();
        let node = nodes.iter().find(|(_, node)| node.peer_port == peer_port);
        node.map(|(name, _)| name.clone())
    }
}

/// See the module.
#[derive(Debug)]
pub struct Plane {
    shared: Arc<Shared>,
    runtime: Handle,
    /// Ends the thread, and every proxy with it, when the plane is dropped.
    _end: oneshot::Sender<()>,
}

impl Plane {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            nodes: RwLock::default(),
            links: RwLock::default(),
        });
        handle.spawn(measure(Arc::clone(&shared)));
        std::thread::Builder::new().name("links".to_owned()).spawn(move || {
            // Both outcomes mean that the plane is gone.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self { shared, runtime: handle, _end: end })
    }

    /// Opens the proxy of a node, on this port of the loopback interface, and lets others
    /// reach the node. A node that is there already keeps its proxy.
    pub fn open(&self, node: &str, peer_port: u16, proxy_port: u16) -> io::Result<()> {
        if self.shared.nodes.read().contains_key(node) {
            return Ok(());
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, proxy_port))?;
        listener.set_nonblocking(true)?;
        let proxy_port = listener.local_addr()?.port();
        let (closed, closing) = oneshot::channel();
        let entry = Node { peer_port, proxy_port, _closed: closed };
        self.shared.nodes.write().insert(node.to_owned(), entry);
        let _entered = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        self.serve(node, listener, closing);
        Ok(())
    }

    fn serve(
        &self,
        node: &str,
        listener: tokio::net::TcpListener,
        closing: oneshot::Receiver<()>,
    ) -> JoinHandle<()> {
        let (shared, node) = (Arc::clone(&self.shared), node.to_owned());
        self.runtime.spawn(async move {
            tokio::select! {
                () = accept(shared, node, listener) => {}
                // Whether told or dropped.
                _ = closing => {}
            }
        })
    }

    /// Closes the proxy of a node and forgets its links.
    pub fn close(&self, node: &str) {
        self.shared.nodes.write().remove(node);
        self.shared.links.write().retain(|(from, to), _| from != node && to != node);
    }

    /// The port of a node's proxy, if it has one.
    pub fn proxy_port(&self, node: &str) -> Option<u16> {
        self.shared.nodes.read().get(node).map(|node| node.proxy_port)
    }

    /// Sets links. All are set before any connection is told to end.
    pub fn set<'a>(&self, links: impl IntoIterator<Item = (&'a str, &'a str)>, fault: LinkFault) {
        let now = self.shared.now();
        for (from, to) in links {
            self.shared.link(from, to).setting.send_if_modified(|setting| {
                let before = *setting;
                *setting = before.with(fault, now);
                *setting != before
            });
        }
    }

    /// Makes every link ok; the links that were not.
    pub fn heal(&self) -> Vec<(String, String)> {
        let mut faulty: Vec<(String, String)> = {
            let links = self.shared.links.read();
            let faulty = links.iter().filter(|(_, it)| it.setting.borrow().fault != LinkFault::Ok);
            faulty.map(|(pair, _)| pair.clone()).collect()
        };
        faulty.sort();
        self.set(faulty.iter().map(|(from, to)| (&**from, &**to)), LinkFault::Ok);
        faulty
    }

    /// Every directed link between nodes that have a proxy.
    pub fn views(&self) -> Vec<LinkView> {
        let names: Vec<String> = self.shared.nodes.read().keys().cloned().collect();
        let mut views = Vec::new();
        for from in &names {
            for to in names.iter().filter(|to| *to != from) {
                let link = self.shared.link(from, to);
                let fault = link.setting.borrow().fault;
                views.push(LinkView {
                    from: from.clone(),
                    to: to.clone(),
                    fault,
                    bytes_per_second: link.rate.load(Relaxed),
                    connections: link.connections.load(Relaxed),
                });
            }
        }
        views
    }

    /// Whether any link has a fault.
    pub fn has_faults(&self) -> bool {
        let links = self.shared.links.read();
        links.values().any(|link| link.setting.borrow().fault != LinkFault::Ok)
    }

    /// Whether bytes from one node to the other have ever passed here. If they have not while
    /// both serve, they go another way, and faults would be a pretence.
    pub fn has_seen(&self, from: &str, to: &str) -> bool {
        self.shared.link(from, to).bytes.load(Relaxed) > 0
    }
}

async fn accept(shared: Arc<Shared>, node: String, listener: tokio::net::TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Dropped, and with it every connection, when the node is closed.
    let mut open = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let (shared, node) = (Arc::clone(&shared), node.clone());
                open.spawn(async move {
                    if let Err(error) = exchange::serve(&shared, &node, stream).await {
                        tracing::debug!(%node, %error, "a connection between nodes ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%node, %error, "a proxy could not accept");
                // Out of descriptors, most likely: do not spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn measure(shared: Arc<Shared>) {
    let mut before = shared.now();
    loop {
        tokio::time::sleep(MEASURE).await;
        let now = shared.now();
        let passed = (now - before).as_millis().max(1);
        before = now;
        for link in shared.links.read().values() {
            let bytes = link.bytes.load(Relaxed);
            let more = bytes - link.measured.swap(bytes, Relaxed);
            let rate = u128::from(more) * 1000 / passed;
            link.rate.store(u64::try_from(rate).unwrap_or(u64::MAX), Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "plane_tests.rs"]
mod tests;
