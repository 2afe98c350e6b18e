//! From settings to [`NodeOptions`]: each group builds its part.

use std::path::PathBuf;

use node::config::{
    Auth, AutoCompaction, Discovery, DistributedTracing, Http, Limits, Security, Slow, Upkeep,
};

use super::FlagError;
use super::groups::{
    auth, clustering, compaction, danger, discovery, gateway, http, internal, limits, listen,
    logging, member, monitoring, proxy, tls, tuning, upkeep,
};
use super::syntax::Settings;

/// Everything the flags decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    pub member: member::Options,
    pub listen: listen::Options,
    pub security: Security,
    pub http: Http,
    pub clustering: clustering::Options,
    pub discovery: Option<Discovery>,
    pub limits: Limits,
    pub auto_compaction: AutoCompaction,
    pub auth: Auth,
    /// Serve the JSON gateway.
    pub grpc_gateway: bool,
    pub upkeep: Upkeep,
    pub logging: logging::Options,
    pub slow: Slow,
    pub tracing: Option<DistributedTracing>,
    pub danger: danger::Options,
    /// How other members are reached, if not straight.
    pub peer_proxy: Option<String>,
    /// End when this process does (set by the supervisor).
    pub die_with_parent: Option<i32>,
    /// Where the supervisor asks for faults.
    pub fault_file: Option<PathBuf>,
    /// Harmless oddities for the log.
    pub warnings: Vec<String>,
}

/// Parses and checks all settings.
pub fn build(settings: &Settings) -> Result<NodeOptions, FlagError> {
    tuning::check(settings)?;
    let listen = listen::build(settings)?;
    let member = member::build(settings)?;
    let mut warnings = settings.warnings.clone();
    Ok(NodeOptions {
        clustering: clustering::build(settings, &member.name, &listen.advertise_peer)?,
        discovery: discovery::build(settings)?,
        security: tls::build(settings)?,
        http: http::build(settings)?,
        limits: limits::build(settings)?,
        auto_compaction: compaction::build(settings)?,
        auth: auth::build(settings, &mut warnings)?,
        slow: monitoring::build(settings)?,
        tracing: monitoring::tracing(settings)?,
        grpc_gateway: gateway::build(settings)?,
        upkeep: upkeep::build(settings)?,
        logging: logging::build(settings)?,
        danger: danger::build(settings)?,
        peer_proxy: proxy::build(settings)?,
        die_with_parent: internal::build(settings)?,
        fault_file: internal::fault_file(settings),
        warnings,
        member,
        listen,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::flags::testing::options;
    use crate::flags::{Request, parse, urls};

    fn message(words: &[&str]) -> String {
        options(words).unwrap_err().to_string()
    }

    #[test]
    fn without_flags_it_is_etcds_single_node() {
        let options = options(&[]).unwrap();
        assert_eq!(options.member.name, "default");
        assert_eq!(options.member.data_dir, PathBuf::from("default.etcd"));
        assert_eq!(urls::joined(&options.listen.client), "http://localhost:2379");
        assert_eq!(urls::joined(&options.listen.peer), "http://localhost:2380");
        assert_eq!(options.clustering.initial_cluster[0].0, "default");
        let peers = urls::joined(&options.clustering.initial_cluster[0].1);
        assert_eq!(peers, "http://localhost:2380");
        assert_eq!(options.limits.quota_bytes, Some(2 << 30));
        assert_eq!(options.auto_compaction, AutoCompaction::Off);
        assert_eq!(options.member.timing.election, Duration::from_secs(1));
        assert!(options.member.pre_vote && options.clustering.strict_reconfig);
        assert!(!options.danger.force_new_cluster);
    }

    #[test]
    fn one_sentence_names_the_flag_and_the_value() {
        assert_eq!(
            message(&["--initial-cluster-state=old"]),
            "invalid value \"old\" for --initial-cluster-state: it is 'new' or 'existing'"
        );
        assert_eq!(
            message(&["--listen-peer-urls=http://example.com:1"]),
            "invalid value \"http://example.com:1\" for --listen-peer-urls: \
             expected IP in URL for binding (http://example.com:1)"
        );
        for words in [
            ["--logger=capnslog"],
            ["--log-level=loud"],
            ["--log-format=xml"],
            ["--die-with-parent=0"],
            ["--name="],
            ["--max-txn-ops=-1"],
        ] {
            assert!(!message(&words).contains('\n'), "{words:?}");
        }
    }

    #[test]
    fn version_wins_over_a_bad_configuration() {
        let words = ["--version".to_string(), "--election-timeout=1".to_string()];
        assert_eq!(parse(&words, [], |_| panic!()), Ok(Request::Version));
    }
}
