//! What a node does for the machine it runs on: it tells systemd that it is ready, and keeps
//! its memory from being swapped out when asked to.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::sys::mman::{MlockAllFlags, mlockall};

/// Tells the service manager of `NOTIFY_SOCKET`, if there is one, that the node is ready.
/// A notice that cannot be given is worth a line and nothing more, as in etcd.
pub fn notify_ready() {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else {
        return;
    };
    if let Err(error) = send(place.as_bytes(), b"READY=1") {
        tracing::error!(%error, "failed to notify systemd for readiness");
    }
}

/// An address that begins with @ is abstract: it has no file.
fn send(place: &[u8], notice: &[u8]) -> std::io::Result<()> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(place))?,
    };
    UnixDatagram::unbound()?.send_to_addr(notice, &address).map(drop)
}

/// Keeps all memory of this process in RAM, now and later.
pub fn lock_memory() -> Result<(), String> {
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).map_err(|error| {
        format!("--memory-mlock: memory cannot be locked: {error}; raise the limit (ulimit -l)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reaches_a_socket_file_and_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("etcd-tui-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (place, socket) in [
            (path.as_os_str().as_bytes().to_vec(), by_path),
            (format!("@{name}").into_bytes(), by_name),
        ] {
            send(&place, b"READY=1").unwrap();
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"READY=1");
        }
        assert!(send(b"/no/such/socket", b"READY=1").is_err());
    }
}
