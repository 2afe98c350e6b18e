//! lock and elect: the recipes built on leases, transactions and watches.

use crate::{Setup, against_every_engine};

against_every_engine!(
    one_lock_holder_at_a_time,
    a_lock_around_a_command,
    a_dead_holder_loses_the_lock,
    one_leader_at_a_time,
    listeners_see_each_leader,
);

fn one_lock_holder_at_a_time(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut first = ctl.spawn(&["lock", "mutex"]);
    let key = first.line();
    assert!(key.starts_with("mutex/"), "{key}");
    let mut second = ctl.spawn(&["lock", "mutex"]);
    // The second waits in line: its key exists while the lock is not its own.
    let waiting = crate::support::eventually("two in line", || {
        let out = ctl.ok(&["get", "mutex/", "--prefix", "--keys-only"]);
        let keys: Vec<String> = out.split_whitespace().map(str::to_string).collect();
        keys.iter().find(|other| **other != key).cloned().ok_or(out)
    });
    first.interrupt();
    assert_eq!(second.line(), waiting);
    second.interrupt();
    second.wait();
    first.wait();
    assert_eq!(ctl.ok(&["get", "mutex/", "--prefix"]), "");
}

fn a_lock_around_a_command(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let out = ctl.ok(&["lock", "mutex", "--", "sh", "-c", "echo held $ETCD_LOCK_KEY"]);
    assert!(out.starts_with("held mutex/"), "{out}");
    assert_eq!(ctl.ok(&["get", "mutex/", "--prefix"]), "");
    assert_eq!(ctl.run(&["lock", "mutex", "false"]).code, 1);
}

fn a_dead_holder_loses_the_lock(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut first = ctl.spawn(&["lock", "mutex", "--ttl=2"]);
    let key = first.line();
    // kill -9: nobody unlocks, the lease has to run out.
    drop(first);
    let mut second = ctl.spawn(&["lock", "mutex", "--ttl=2"]);
    assert_ne!(second.line(), key);
}

fn one_leader_at_a_time(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut first = ctl.spawn(&["elect", "office", "alice"]);
    let key = first.line();
    assert!(key.starts_with("office/"), "{key}");
    assert_eq!(first.line(), "alice");
    let mut second = ctl.spawn(&["elect", "office", "bob"]);
    first.interrupt();
    first.wait();
    assert!(second.line().starts_with("office/"));
    assert_eq!(second.line(), "bob");
}

fn listeners_see_each_leader(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut alice = ctl.spawn(&["elect", "office", "alice"]);
    let key = alice.line();
    let mut listener = ctl.spawn(&["elect", "--listen", "office"]);
    listener.prints(&[&key, "alice"]);
    let mut bob = ctl.spawn(&["elect", "office", "bob"]);
    alice.interrupt();
    alice.wait();
    let key = bob.line();
    listener.prints(&[&key, "bob"]);
}
