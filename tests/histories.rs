//! Whole histories, judged: everything that clients of a cluster saw while it was being broken.
//!
//! The same scenarios run on etcd 3.4, so that the judge is judged too: a checker that finds
//! fault with etcd where etcd has none would be found here.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use history::{Report, Verdict};
use playground::workload::{Lane, Monitor, Options, Recording, Target, Workload};
use support::PATIENCE;
use support::cluster::Cluster;
use support::tools::{self, Engine};
use tokio::sync::oneshot;

macro_rules! on {
    ($name:ident, $engine:expr, $($scenario:ident),+ $(,)?) => {
        mod $name {
            use super::{Engine, tools};
            $(#[test] fn $scenario() {
                if tools::are_there([$engine.program()]) {
                    super::$scenario($engine);
                }
            })+
        }
    };
}

on!(
    ours,
    Engine::Ours,
    nothing_happens,
    the_leader_is_killed_twice,
    the_leader_is_paused,
    all_are_killed,
    the_leader_ends_gracefully,
);

on!(etcd, Engine::Etcd34, the_leader_is_killed_twice, the_leader_is_paused, all_are_killed);

/// A load that runs beside the test.
struct Observed {
    monitor: Monitor,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Recording>,
}

impl Observed {
    fn start(cluster: &Cluster, seed: u64) -> Observed {
        let members: Vec<_> =
            cluster.nodes.iter().map(|node| (node.name.clone(), node.client_url())).collect();
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let target = |(name, url): &(String, String)| Target::new(name, url).unwrap();
                let options = Options { seed, ..Options::default() };
                let targets = members.iter().map(target).collect();
                let workload = Workload::start(targets, options).await.expect("a load");
                tell.send(workload.monitor()).unwrap();
                // An error means that the test has failed and is gone.
                let _ = stopped.await;
                workload.finish().await.expect("a healed cluster")
            })
        });
        Observed { monitor: told.recv().expect("a load"), stop, thread }
    }

    /// Waits until so many more writes have succeeded.
    fn wait_for(&self, more: usize) {
        let wanted = self.monitor.succeeded(Lane::Put) + more;
        let started = std::time::Instant::now();
        while self.monitor.succeeded(Lane::Put) < wanted {
            assert!(started.elapsed() < PATIENCE, "writes do not go on");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn judge(self) -> (Report, Recording) {
        self.stop.send(()).expect("the load runs");
        let recording = self.thread.join().expect("a recording");
        let report = history::check(&recording.history);
        println!("{report}");
        for lane in recording.timeline.lanes() {
            let outage = recording.timeline.longest_outage(lane);
            println!("longest outage of {}: {outage} ms", recording.timeline.name(lane));
        }
        (report, recording)
    }

    /// Ends the load; every promise must have been kept.
    #[track_caller]
    fn assert_safe(self) {
        let (report, recording) = self.judge();
        assert_eq!(report.verdict(), Verdict::Safe, "{report}");
        assert!(report.acknowledged_writes > 100, "{report}");
        assert!(report.linearizable_reads > 100, "{report}");
        assert!(report.serializable_reads > 100, "{report}");
        assert!(report.watch_events > 300, "every member's watch tells: {report}");
        assert!(report.keys_searched > 3, "{report}");
        assert_eq!(report.hashes, recording.history.hashes.len());
    }
}

fn nothing_happens(engine: Engine) {
    let cluster = Cluster::start(engine, 3, &[]);
    let observed = Observed::start(&cluster, 1);
    observed.wait_for(400);
    observed.assert_safe();
}

fn the_leader_is_killed_twice(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &["--snapshot-count=200"]);
    let observed = Observed::start(&cluster, 2);
    for _ in 0..2 {
        observed.wait_for(200);
        let leader = cluster.leader();
        cluster.nodes[leader].kill();
        observed.wait_for(200);
        cluster.restart(leader);
    }
    observed.wait_for(100);
    observed.assert_safe();
}

/// It wakes up and still believes it leads: the place where stale reads come from.
fn the_leader_is_paused(engine: Engine) {
    let cluster = Cluster::start(engine, 3, &[]);
    let observed = Observed::start(&cluster, 3);
    for _ in 0..2 {
        observed.wait_for(200);
        let leader = cluster.leader();
        cluster.nodes[leader].pause();
        observed.wait_for(200);
        cluster.nodes[leader].resume();
        observed.wait_for(100);
    }
    observed.assert_safe();
}

fn all_are_killed(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &["--snapshot-count=200"]);
    let observed = Observed::start(&cluster, 4);
    for _ in 0..2 {
        observed.wait_for(200);
        for node in &mut cluster.nodes {
            node.kill();
        }
        for index in 0..3 {
            cluster.spawn(index);
        }
        for node in &mut cluster.nodes {
            node.wait_healthy();
        }
    }
    observed.wait_for(100);
    observed.assert_safe();
}

fn the_leader_ends_gracefully(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &[]);
    let observed = Observed::start(&cluster, 5);
    observed.wait_for(200);
    let leader = cluster.leader();
    cluster.nodes[leader].stop();
    observed.wait_for(200);
    cluster.restart(leader);
    observed.wait_for(100);
    observed.assert_safe();
}
