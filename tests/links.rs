//! Clusters whose links fail: ours and etcd's behind the same proxies.
//!
//! Each scenario ends with the links healed, every acknowledged write in its place on every
//! member, and equal hashes. Load goes on while links are cut. `ETCD_TUI_LINK_CYCLES` says how
//! many times links are cut at random; a few are enough to notice a proxy that loses bytes,
//! because members end themselves when they find one.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use playground::LinkFault;
use playground::links::Plane;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::client::Client;
use support::cluster::{Cluster, Node};
use support::eventually;
use support::load::{self, Load};
use support::machine::Machine;
use support::tools::{self, Engine};

const WRITERS: usize = 4;
/// How many writes show that they go on.
const SOME: usize = 50;

/// Three members, each behind a proxy of its own.
struct Rig {
    cluster: Cluster,
    plane: Plane,
}

impl Rig {
    fn start(engine: Engine) -> Rig {
        Rig::start_with(engine, |_| {})
    }

    fn start_with(engine: Engine, prepare: impl Fn(&mut Node)) -> Rig {
        let flags: &[&str] = if engine == Engine::Ours { &[] } else { &["--pre-vote"] };
        let mut cluster = Cluster::prepare(engine, 3, flags);
        let plane = Plane::start().unwrap();
        for node in &mut cluster.nodes {
            plane.open(&node.name, node.peer_port(), 0).unwrap();
            let port = plane.proxy_port(&node.name).unwrap();
            node.go_through(engine, &format!("http://127.0.0.1:{port}"));
            prepare(node);
        }
        cluster.introduce();
        for index in 0..3 {
            cluster.spawn(index);
        }
        for node in &mut cluster.nodes {
            node.wait_healthy();
        }
        let rig = Rig { cluster, plane };
        // Otherwise the faults of links would be a pretence.
        eventually("bytes on every link", || {
            let mut pairs = rig.pairs(|_, _| true).into_iter();
            match pairs.find(|(from, to)| !rig.plane.has_seen(from, to)) {
                Some((from, to)) => Err(format!("nothing has gone from {from} to {to}")),
                None => Ok(()),
            }
        });
        rig
    }

    fn name(&self, index: usize) -> &str {
        &self.cluster.nodes[index].name
    }

    fn pairs(&self, wanted: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let names = || self.cluster.nodes.iter().map(|node| node.name.clone());
        let pairs = names().flat_map(|from| names().map(move |to| (from.clone(), to)));
        pairs.filter(|(from, to)| from != to && wanted(from, to)).collect()
    }

    fn freeze(&self, wanted: impl Fn(&str, &str) -> bool) {
        self.set(LinkFault::Freeze, wanted);
    }

    fn set(&self, fault: LinkFault, wanted: impl Fn(&str, &str) -> bool) {
        let pairs = self.pairs(wanted);
        self.plane.set(pairs.iter().map(|(from, to)| (&**from, &**to)), fault);
    }

    /// Waits until the others follow another leader than `old`.
    fn wait_replaced(&self, old: usize) {
        let id = self.cluster.client(old).status().unwrap().header.unwrap().member_id;
        eventually("another leader", || {
            for index in (0..3).filter(|index| *index != old) {
                let (_, leader) = self.cluster.client(index).leader()?;
                if leader == 0 || leader == id {
                    return Err(format!("{} follows {leader:x}", self.name(index)));
                }
            }
            Ok(())
        });
    }

    fn client(&self, index: usize) -> Client {
        self.cluster.client(index)
    }

    /// Heals everything; nothing acknowledged is missing, and nobody has another opinion.
    fn assert_intact(mut self, load: Load) {
        self.plane.heal();
        load.wait_for(SOME);
        let acks = load.stop();
        for node in &mut self.cluster.nodes {
            node.wait_healthy();
        }
        let hashes = eventually("hashes at one revision", || {
            let revision = self.client(0).put("end of the test", "")?;
            let hash = |index| Ok(self.client(index).hash_kv(revision)?);
            (0..3).map(hash).collect::<Result<Vec<(u32, i64)>, String>>()
        });
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "hashes differ: {hashes:x?}");
        for index in 0..3 {
            load::assert_kept(&self.client(index), &acks);
        }
    }
}

fn an_isolated_leader_is_replaced(engine: Engine) {
    let rig = Rig::start(engine);
    rig.client(0).put("before", "x").unwrap();
    let load = Load::start(&rig.cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let old = rig.cluster.leader();
    rig.freeze(|from, to| from == rig.name(old) || to == rig.name(old));
    rig.wait_replaced(old);
    load.wait_for(SOME);
    assert!(rig.client(old).put("on the wrong side", "x").is_err());
    let read = |serializable| rig.client(old).get("before", serializable);
    assert!(read(false).is_err(), "a linearizable read needs a majority");
    assert_eq!(read(true).unwrap().as_deref(), Some("x"));
    rig.assert_intact(load);
}

fn a_leader_that_is_mute_or_deaf_is_replaced(engine: Engine) {
    let rig = Rig::start(engine);
    let load = Load::start(&rig.cluster.endpoints(), WRITERS);
    for mute in [true, false] {
        load.wait_for(SOME);
        let old = rig.cluster.leader();
        rig.freeze(|from, to| if mute { from == rig.name(old) } else { to == rig.name(old) });
        rig.wait_replaced(old);
        load.wait_for(SOME);
        rig.plane.heal();
        eventually("the old leader as a follower", || {
            let back = rig.client(old).status()?;
            let term = rig.client((old + 1) % 3).status()?.raft_term;
            match back.leader != back.header.map_or(0, |header| header.member_id) {
                true if back.raft_term == term => Ok(()),
                _ => Err(format!("it is in term {}, others in {term}", back.raft_term)),
            }
        });
    }
    rig.assert_intact(load);
}

fn a_follower_that_hears_nothing_disturbs_nobody(engine: Engine) {
    let rig = Rig::start(engine);
    let load = Load::start(&rig.cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let (leader, deaf) = (rig.cluster.leader(), rig.cluster.follower());
    rig.freeze(|from, to| from == rig.name(leader) && to == rig.name(deaf));
    eventually("a follower without a leader", || match rig.client(deaf).leader()? {
        (_, 0) => Ok(()),
        (_, leader) => Err(format!("it follows {leader:x}")),
    });
    load.wait_for(SOME);
    assert!(rig.client(deaf).put("unheard", "x").is_err());
    rig.assert_intact(load);
}

/// What members say to each other cannot be read on the way, and is held and ended all the same.
fn a_leader_whose_peers_speak_tls_is_cut_off(engine: Engine) {
    let rig = Rig::start_with(engine, Node::encrypt_peers);
    let load = Load::start(&rig.cluster.endpoints(), WRITERS);
    for fault in [LinkFault::Freeze, LinkFault::Reset] {
        load.wait_for(SOME);
        let old = rig.cluster.leader();
        rig.set(fault, |from, to| from == rig.name(old) || to == rig.name(old));
        rig.wait_replaced(old);
        load.wait_for(SOME);
        assert!(rig.client(old).put("on the wrong side", "x").is_err(), "{fault}");
        rig.plane.heal();
        eventually("the old leader as a follower", || match rig.client(old).leader()? {
            (_, 0) => Err("it knows no leader".to_owned()),
            _ => Ok(()),
        });
    }
    rig.assert_intact(load);
}

/// Nothing is committed before the entry has passed the slow link.
fn a_slow_link_is_felt_by_every_write(engine: Engine) {
    let rig = Rig::start(engine);
    let leader = rig.cluster.leader();
    rig.client(leader).put("before", "x").unwrap();
    let delay = Duration::from_millis(80);
    rig.set("delay 80".parse().unwrap(), |from, _| from == rig.name(leader));
    for _ in 0..5 {
        let began = std::time::Instant::now();
        rig.client(leader).put("slow", "x").unwrap();
        assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
    }
}

fn links_are_cut_and_healed_at_random(engine: Engine) {
    let cycles: usize = std::env::var("ETCD_TUI_LINK_CYCLES")
        .map_or(4, |text| text.parse().expect("ETCD_TUI_LINK_CYCLES is a number"));
    let seed = rand::random();
    eprintln!("{cycles} cycles of cuts on {engine} with seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let rig = Rig::start(engine);
    let load = Load::start(&rig.cluster.endpoints(), WRITERS);
    let faults = ["freeze", "freeze", "freeze", "reset", "delay 30±30", "rate 20", "flap 50/150"];
    for _ in 0..cycles {
        for _ in 0..random.random_range(1..=3) {
            let fault: LinkFault = faults[random.random_range(0..faults.len())].parse().unwrap();
            let chosen = rig.pairs(|_, _| true).into_iter().filter(|_| random.random_bool(0.4));
            let chosen: Vec<(String, String)> = chosen.collect();
            rig.plane.set(chosen.iter().map(|(from, to)| (&**from, &**to)), fault);
            // How long links are bad is what is drawn here; nothing is awaited.
            let milliseconds = random.random_range(0..1200) * random.random_range(0..2);
            std::thread::sleep(Duration::from_millis(milliseconds));
        }
        rig.plane.heal();
        // Sometimes no time to recover.
        if random.random_bool(0.5) {
            load.wait_for(SOME);
        }
    }
    rig.assert_intact(load);
}

macro_rules! on_engines {
    ($($module:ident = $engine:ident: $($scenario:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $scenario() {
                let engine = super::Engine::$engine;
                if super::tools::are_there([engine.program()]) {
                    super::$scenario(engine);
                }
            })+
        })+
    };
}

on_engines! {
    ours = Ours: an_isolated_leader_is_replaced, a_leader_that_is_mute_or_deaf_is_replaced,
        a_follower_that_hears_nothing_disturbs_nobody, links_are_cut_and_healed_at_random,
        a_leader_whose_peers_speak_tls_is_cut_off, a_slow_link_is_felt_by_every_write;
    etcd34 = Etcd34: an_isolated_leader_is_replaced, a_leader_that_is_mute_or_deaf_is_replaced,
        a_follower_that_hears_nothing_disturbs_nobody, links_are_cut_and_healed_at_random,
        a_slow_link_is_felt_by_every_write;
    etcd35 = Etcd35: links_are_cut_and_healed_at_random, a_leader_whose_peers_speak_tls_is_cut_off;
}

/// The program on a state directory of its own, told in lines.
struct Told(Machine);

impl Told {
    fn ok(&self, line: &str) -> String {
        self.0.ok(&line.split(' ').collect::<Vec<_>>())
    }

    fn fails(&self, status: i32, line: &str) -> String {
        self.0.fails(status, &line.split(' ').collect::<Vec<_>>())
    }

    fn links(&self) -> Vec<serde_json::Value> {
        self.0.ps("default")["links"].as_array().unwrap().clone()
    }

    /// Links that are not ok, as `n1>n2 fault`.
    fn faults(&self) -> Vec<String> {
        let text = |link: &serde_json::Value| {
            let name = |key: &str| link[key].as_str().unwrap().to_owned();
            format!("{}>{} {}", name("from"), name("to"), link["fault"])
        };
        let links = self.links();
        links.iter().filter(|link| link["fault"] != "ok").map(text).collect()
    }
}

#[test]
fn the_verbs_change_links_and_the_views_tell() {
    let machine = Told(Machine::new());
    for (line, word) in [
        ("link n1 freeze", "quotes"),
        ("link n1>n2 melt", "no fault of a link"),
        ("link n1>x freeze", "selects no node"),
        ("partition n1", "two sides"),
        ("bridge n1 n2", "via"),
        ("link rest>rest freeze", "one side"),
    ] {
        assert!(machine.fails(2, line).contains(word), "{line}");
    }
    machine.ok("up -n 3 -d");
    assert_eq!(machine.links().len(), 6);
    assert_eq!(machine.ok("link n1>n2 delay 5±2"), "link n1>n2 delayed by 5±2 ms\n");
    assert!(machine.fails(1, "link n2>n1 delay 5 --cluster other").contains("other"));
    assert!(machine.fails(1, "link n1>n1 freeze").contains("none to itself"));
    assert!(machine.fails(1, "isolate n9").contains("no node n9"));
    machine.ok("restart n2");
    let delayed = "n1>n2 {\"jitter_ms\":2,\"ms\":5}";
    let faults = machine.faults();
    assert_eq!(faults.len(), 1, "a restart takes no fault away: {faults:?}");
    assert_eq!(faults[0].replace("{\"delay\":", "").replace("}}", "}"), delayed);
    machine.ok("partition n1|n2,n3");
    let cut = ["n1>n2 \"freeze\"", "n1>n3 \"freeze\"", "n2>n1 \"freeze\"", "n3>n1 \"freeze\""];
    assert_eq!(machine.faults(), cut);
    assert!(machine.ok("ps").contains("link n3>n1: frozen\n"));
    assert!(machine.ok("heal").contains("links healed: n1>n2, n1>n3, n2>n1, n3>n1"));
    assert!(machine.ok("heal").contains("ok already"));
    // A node that joins has a proxy from its first start.
    machine.ok("grow -n 4");
    assert_eq!(machine.links().len(), 12);
    machine.ok("bridge n1 n2,n4 via n3");
    assert_eq!(machine.faults().len(), 4);
    machine.ok("heal");
    machine.ok("shrink -n 3");
    assert_eq!(machine.links().len(), 6);
}
