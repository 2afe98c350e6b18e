//! Which loopback ports a cluster gets.
//!
//! A cluster owns a block of ports for life, below the range from which the kernel takes ports
//! for outgoing connections: a killed node's port inside that range could be gone when the
//! node returns, or even connect to itself. Blocks of other clusters count as taken although
//! nothing listens there now.
//!
//! Ports are held (bound) while the plan is made, so two launchers cannot choose the same;
//! callers also hold the launcher's lock across the choice and the writing of the plan.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, TcpListener},
};

use crate::{
    PlaygroundError,
    spec::{NODES_MAX, PORTS_PER_NODE},
};

/// Where blocks begin. Not 2379: a real etcd may live there, and talking to the wrong cluster
/// is worse than a longer number.
pub const BASE_DEFAULT: u16 = 23790;
/// Distance between blocks: room for [`NODES_MAX`] nodes and more.
pub const BLOCK: u16 = 100;

const EPHEMERAL_FALLBACK: u16 = 32768;
const LOWEST: u16 = 10_240;

/// A block whose ports are bound until this is dropped.
#[derive(Debug)]
pub struct Held {
    /// First port of the block.
    pub base: u16,
    _listeners: Vec<TcpListener>,
}

/// Chooses and holds a block for `count` nodes. `asked` is the user's own base port; `taken`
/// are the bases of other clusters.
pub fn hold(
    asked: Option<u16>,
    count: usize,
    taken: &[(u16, String)],
) -> Result<Held, PlaygroundError> {
    if let Some(base) = asked {
        return hold_asked(base, count, taken);
    }
    for base in candidates(ephemeral_floor()) {
        if taken.iter().any(|(other, _)| overlaps(base, *other)) {
            continue;
        }
        if let Ok(held) = bind_block(base, count) {
            return Ok(held);
        }
    }
    Err(PlaygroundError::Refused(
        "no block of free ports was found: name one with --base-port, or `etcd-tui down --purge` \
         a cluster that is no longer needed"
            .to_owned(),
    ))
}

fn hold_asked(base: u16, count: usize, taken: &[(u16, String)]) -> Result<Held, PlaygroundError> {
    let span = (NODES_MAX as u16) * PORTS_PER_NODE;
    if base < 1024 || base > u16::MAX - span {
        return Err(PlaygroundError::Usage(format!(
            "--base-port {base} is out of range: a cluster takes {span} ports between 1024 and \
             65535, {BASE_DEFAULT} is the default"
        )));
    }
    if let Some((_, name)) = taken.iter().find(|(other, _)| overlaps(base, *other)) {
        return Err(PlaygroundError::Refused(format!(
            "--base-port {base} overlaps the ports of cluster {name}: leave --base-port out, or \
             choose one at least {BLOCK} away"
        )));
    }
    bind_block(base, count).map_err(|(port, error)| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => held_by(port),
            _ => format!("port {port} cannot be used: {error}"),
        };
        PlaygroundError::Refused(format!("{why}: leave --base-port out, or choose another"))
    })
}

/// Says why a port of a known plan cannot be listened on now, if that is so.
pub fn busy(port: u16) -> Option<String> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Some(format!(
            "{}; end that process, the ports of a cluster never change",
            held_by(port)
        )),
        Err(error) => Some(format!("port {port} cannot be used: {error}")),
    }
}

/// Whether two blocks share ports.
fn overlaps(left: u16, right: u16) -> bool {
    left.abs_diff(right) < BLOCK
}

/// Bases to try: upwards from the default while they stay below the ephemeral range, then
/// downwards.
fn candidates(floor: u16) -> impl Iterator<Item = u16> {
    let up = (BASE_DEFAULT..).step_by(BLOCK as usize);
    let up = up.take_while(move |base| base.checked_add(BLOCK).is_some_and(|end| end <= floor));
    let down = (LOWEST..BASE_DEFAULT).rev().step_by(BLOCK as usize).map(|base| base - base % 10);
    up.chain(down.filter(move |base| base + BLOCK <= floor))
}

fn ephemeral_floor() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let floor = range.split_whitespace().next().and_then(|number| number.parse().ok());
    // A machine may give nearly everything away; then any port is as good as another.
    floor.filter(|floor| *floor >= LOWEST + BLOCK).unwrap_or(EPHEMERAL_FALLBACK)
}

/// Binds the ports in use, or says which cannot be.
fn bind_block(base: u16, count: usize) -> Result<Held, (u16, io::Error)> {
    let mut listeners = Vec::new();
    for slot in 0..count as u16 {
        let client = base + slot * PORTS_PER_NODE;
        for port in [client, client + 1, client + 3] {
            let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            listeners.push(bound.map_err(|error| (port, error))?);
        }
    }
    Ok(Held { base, _listeners: listeners })
}

/// A clause that names the process listening on a port, as far as this user may know.
fn held_by(port: u16) -> String {
    match holder(port) {
        Some((pid, program)) => format!("port {port} is held by pid {pid} ({program})"),
        None => format!("port {port} is held by another process"),
    }
}

fn holder(port: u16) -> Option<(u32, String)> {
    let inodes = listening_inodes();
    let inode = *inodes.get(&port)?;
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Processes of other users cannot be looked into.
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str());
        if holds {
            let program = fs::read_link(entry.path().join("exe"));
            return Some((pid, program.map_or_else(|_| "?".into(), |it| it.display().to_string())));
        }
    }
    None
}

/// Port to socket inode, of every listening socket the kernel shows.
fn listening_inodes() -> BTreeMap<u16, u64> {
    let mut inodes = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(text) = fs::read_to_string(table) else { continue };
        inodes.extend(text.lines().skip(1).filter_map(listening_inode));
    }
    inodes
}

fn listening_inode(line: &str) -> Option<(u16, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    if *fields.get(3)? != LISTEN {
        return None;
    }
    Some((u16::from_str_radix(port, 16).ok()?, fields.get(9)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_holders_never_share_a_block() {
        let one = hold(None, 3, &[]).unwrap();
        let two = hold(None, 3, &[]).unwrap();
        assert!(!overlaps(one.base, two.base), "{} {}", one.base, two.base);
    }

    #[test]
    fn blocks_of_stopped_clusters_are_left_alone() {
        let first = hold(None, 1, &[]).unwrap().base;
        let next = hold(None, 1, &[(first, "other".into())]).unwrap().base;
        assert!(!overlaps(first, next));
        let error = hold(Some(first + 20), 1, &[(first, "other".into())]).unwrap_err();
        assert!(error.to_string().contains("ports of cluster other"), "{error}");
    }

    #[test]
    fn a_busy_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let why = busy(port).unwrap();
        assert!(why.contains(&format!("pid {}", std::process::id())), "{why}");
        drop(listener);
        assert_eq!(busy(port), None);
    }

    #[test]
    fn a_base_asked_for_is_taken_or_refused_never_replaced() {
        let free = hold(None, 1, &[]).unwrap();
        let base = free.base;
        let error = hold(Some(base), 1, &[]).unwrap_err();
        assert!(error.to_string().contains(&format!("port {base} is held by pid")), "{error}");
        assert!(!error.is_usage());
        let mut bases = (12_000..15_000).step_by(500);
        let (asked, held) = bases
            .find_map(|asked| Some((asked, hold(Some(asked), 1, &[]).ok()?)))
            .expect("some block is free");
        assert_eq!(held.base, asked);
        for wrong in [0, 80, 65_500] {
            assert!(hold(Some(wrong), 1, &[]).unwrap_err().is_usage(), "{wrong}");
        }
    }

    #[test]
    fn candidates_stay_below_the_ephemeral_range() {
        for floor in [10_400, 23_790, 23_890, 32_768, 60_000] {
            let bases: Vec<u16> = candidates(floor).collect();
            assert!(!bases.is_empty(), "{floor}");
            assert!(bases.iter().all(|base| base + BLOCK <= floor), "{floor}");
        }
        assert_eq!(candidates(32_768).next(), Some(BASE_DEFAULT));
    }
}
