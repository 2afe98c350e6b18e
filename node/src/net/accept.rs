//! The accept loop: caps, deadline, protocol, handshake.
//!
//! A connection that waits for its handshake holds up no other one, and is closed when its
//! first byte or its handshake is not there in time. When the process is near its limit of
//! open files, further connections wait in the kernel's queue until one ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::connection::{Connection, Socket};
use super::listener::Listener;
use super::sniff;
use super::tls::Tls;

/// First byte and TLS handshake must be here by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files) others get time to close.
const PAUSE: Duration = Duration::from_millis(50);
/// Open files that are not for connections (etcd's number).
const RESERVED_FILES: u64 = 150;
/// There is always room for some.
const CONNECTIONS_MIN: u64 = 64;

/// How many connections may be open at a time: what the limit of open files leaves.
pub fn connection_limit() -> Arc<Semaphore> {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1 << 16, |(soft, _)| soft);
    let connections = files.saturating_sub(RESERVED_FILES).max(CONNECTIONS_MIN);
    let most = Semaphore::MAX_PERMITS as u64;
    Arc::new(Semaphore::new(connections.min(most) as usize))
}

/// What all listeners of one side have in common.
#[derive(Clone)]
pub struct Gate {
    /// `client` or `peer`, for the log.
    pub side: &'static str,
    pub tls: Option<Arc<Tls>>,
    pub limit: Arc<Semaphore>,
}

/// Accepts for as long as the runtime lives; `serve` is called on it for each connection.
pub async fn run<F, Served>(listener: Listener, gate: Gate, serve: F)
where
    F: Fn(Connection) -> Served + Clone + Send + 'static,
    Served: Future<Output = ()> + Send,
{
    let place = listener.shared.place.to_string();
    let (shared, accepting) = match listener.register() {
        Ok(registered) => registered,
        Err(error) => {
            tracing::error!(%error, %place, "the listener is not usable");
            return;
        }
    };
    let rules = Rules { plain: shared.plain, secure: shared.secure };
    // Never closed, so there is always a permit in the end.
    while let Ok(permit) = gate.limit.clone().acquire_owned().await {
        let socket = match accepting.accept().await {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, %place, "accepting a connection failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (gate, serve) = (gate.clone(), serve.clone());
        tokio::spawn(async move {
            if let Some(connection) = admit(socket, rules, &gate).await {
                serve(connection.holding(permit)).await;
            }
        });
    }
}

#[derive(Clone, Copy)]
struct Rules {
    plain: bool,
    secure: bool,
}

/// The connection if it may be used; who may not has been told, as far as it can be.
async fn admit(socket: Socket, rules: Rules, gate: &Gate) -> Option<Connection> {
    let remote = socket.remote().map_or("unix".to_owned(), |address| address.to_string());
    match timeout(HANDSHAKE, shake(socket, rules, gate)).await {
        Ok(Ok(connection)) => return Some(connection),
        // Nothing was said: a probe of the port, or a client that was started and ended.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Ok(Err(error)) => {
            tracing::warn!(remote_addr = %remote, %error, "rejected connection on {} endpoint", gate.side);
        }
        Err(_) => {
            tracing::warn!(
                remote_addr = %remote,
                "rejected connection on {} endpoint: nothing complete in {HANDSHAKE:?}",
                gate.side
            );
        }
    }
    None
}

async fn shake(socket: Socket, rules: Rules, gate: &Gate) -> io::Result<Connection> {
    let refused = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    let is_tls = sniff::is_tls(&socket).await?;
    match (&gate.tls, is_tls) {
        (_, false) if rules.plain => Ok(Connection::plain(socket)),
        (_, false) => {
            sniff::refuse(socket, "Client sent an HTTP request to an HTTPS server.").await;
            refused("the client speaks plain HTTP, this listener speaks TLS")
        }
        (Some(tls), true) if rules.secure => tls.accept(socket).await,
        (_, true) => {
            sniff::refuse(socket, "Client sent a TLS handshake to a plain HTTP server.").await;
            refused("the client speaks TLS, this listener speaks plain HTTP")
        }
    }
}
