//! Listening sockets, TCP and Unix.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, setsockopt, sockopt,
};
use tokio::net::{TcpListener, UnixListener};

use super::address::{AddressError, Place, Shared, merge};
use super::connection::Socket;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// `--socket-reuse-port` and `--socket-reuse-address`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketOptions {
    pub reuse_port: bool,
    pub reuse_address: bool,
}

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("cannot listen on {place}: {source}; stop what uses it or choose another address")]
    Bind { place: String, source: io::Error },
}

/// An open socket. Bound without a runtime, used on one.
#[derive(Debug)]
pub struct Listener {
    pub shared: Shared,
    open: Open,
}

#[derive(Debug)]
enum Open {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// A Unix socket's file, which goes with the listener.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A listener on a runtime.
pub enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Opens one socket for each place of `urls`.
pub fn bind(urls: &[String], options: SocketOptions) -> Result<Vec<Listener>, ListenError> {
    let mut listeners = Vec::new();
    for shared in merge(urls)? {
        let failed = |source| ListenError::Bind { place: shared.place.to_string(), source };
        let open = match &shared.place {
            Place::Tcp(address) => Open::Tcp(bind_tcp(address, options).map_err(failed)?),
            Place::Unix(path) => {
                let listener = bind_unix(path).map_err(failed)?;
                Open::Unix(listener, SocketFile(path.clone()))
            }
        };
        listeners.push(Listener { shared, open });
    }
    Ok(listeners)
}

/// The first address of a name that can be bound.
fn bind_tcp(address: &str, options: SocketOptions) -> io::Result<std::net::TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match bind_address(address, options) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn bind_address(address: SocketAddr, options: SocketOptions) -> io::Result<std::net::TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, SockType::Stream, flags, None)?;
    // As Go does always: a restart must not wait for old connections to be forgotten. The
    // flag --socket-reuse-address asks for what is there anyway.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if options.reuse_port {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    match address {
        SocketAddr::V4(address) => socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?,
    }
    socket::listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(std::net::TcpListener::from(socket))
}

/// A file left behind by a process that was killed is in the way; one that somebody listens
/// on is not touched.
fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AddrInUse));
    }
    let left_behind = std::fs::symlink_metadata(path).is_ok_and(|meta| {
        use std::os::unix::fs::FileTypeExt as _;
        meta.file_type().is_socket()
    });
    if left_behind {
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Listener {
    /// Moves it onto the runtime this is called on.
    pub fn register(self) -> io::Result<(Shared, Accepting)> {
        let accepting = match self.open {
            Open::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener)?),
            Open::Unix(listener, file) => Accepting::Unix(UnixListener::from_std(listener)?, file),
        };
        Ok((self.shared, accepting))
    }
}

impl Accepting {
    /// The next connection.
    pub async fn accept(&self) -> io::Result<Socket> {
        match self {
            Accepting::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Socket::Tcp(stream))
            }
            Accepting::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(Socket::Unix(stream))
            }
        }
    }
}
