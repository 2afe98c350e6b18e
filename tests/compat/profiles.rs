//! `/debug/pprof/`: there if asked for, for clients, and not where metrics are served.

use crate::support::cluster::Cluster;
use crate::support::http;
use crate::support::ports;
use crate::support::tools::Engine;

crate::against_every_server!(profiles_are_served_only_if_asked_for);

fn profiles_are_served_only_if_asked_for(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let without = http::send(&cluster.nodes[0].client_url(), "GET", "/debug/pprof/", &[], "");
    assert_eq!(without.status, 404);
    drop(cluster);

    let port = ports::reserve();
    let metrics = format!("http://127.0.0.1:{}", port.number);
    let flag = format!("--listen-metrics-urls={metrics}");
    let cluster = Cluster::start(engine, 1, &["--enable-pprof", &flag]);
    let get = |url: &str, path: &str| http::send(url, "GET", path, &[], "");
    let url = cluster.nodes[0].client_url();
    let mut index = get(&url, "/debug/pprof/");
    assert_eq!(index.status, 200);
    assert!(index.header("content-type").unwrap().starts_with("text/html"));
    assert!(index.text().contains("profile?"));
    let mut words = get(&url, "/debug/pprof/cmdline");
    assert!(words.text().contains("\0--enable-pprof"));
    assert_eq!(get(&url, "/debug/pprof/nothing").status, 404);
    assert_eq!(get(&metrics, "/debug/pprof/").status, 404);
    assert_eq!(get(&metrics, "/health").status, 200);
}
