//! The command line and the environment of one node, for either engine.
//!
//! Everything is derived from the plan, so that a restart says word for word what the first
//! start said. An unmodified etcd is started through this program ([`GUARD`]), which ties the
//! process to its supervisor and then becomes etcd: etcd has no flag for that.
//!
//! Peers of an etcd are told the address 0.0.0.0. It reaches this machine like 127.0.0.1, but
//! Go's rule that proxies are not asked for loopback addresses does not know it, so that the
//! proxies of the links between the nodes are in use.

use super::{Dialect, Engine};
use crate::{
    dirs::ClusterDirs,
    spec::{FleetSpec, NodeSpec},
};

/// The hidden subcommand of this program that becomes another program.
pub const GUARD: &str = "__guard";

/// What is to be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Command {
    /// The arguments to this program.
    pub argv: Vec<String>,
    /// What to type to run the same by hand.
    pub shown: Vec<String>,
    /// Variables beside those that every node gets.
    pub environment: Vec<(String, String)>,
}

/// The command of `node`. `supervisor` is the pid it must not outlive, `proxy` the port on this
/// machine through which it has to dial its peers.
pub fn command(
    spec: &FleetSpec,
    node: &NodeSpec,
    dirs: &ClusterDirs,
    supervisor: u32,
    proxy: Option<u16>,
) -> Command {
    match (spec.engine, spec.binary_of(node)) {
        (Engine::Etcd, Some(binary)) => {
            let mut shown = vec![binary.path.display().to_string()];
            shown.extend(common_flags(spec, node, dirs));
            shown.extend(etcd_flags(spec, Dialect::of(binary.version)));
            let mut argv = vec![GUARD.to_owned(), supervisor.to_string()];
            argv.extend(shown.iter().cloned());
            let environment = proxy.map(proxy_environment).unwrap_or_default();
            Command { argv, shown, environment }
        }
        (Engine::Builtin | Engine::Etcd, _) => {
            let mut argv = vec!["node".to_owned()];
            argv.extend(common_flags(spec, node, dirs));
            argv.push("--log-format=json".to_owned());
            argv.extend(spec.settings.flags());
            let shown = argv.clone();
            argv.push(format!("--die-with-parent={supervisor}"));
            argv.push(format!("--fault-file={}", dirs.faults(&node.name).display()));
            if let Some(port) = proxy {
                argv.push(format!("--peer-proxy=http://127.0.0.1:{port}"));
            }
            Command { argv, shown, environment: Vec::new() }
        }
    }
}

fn common_flags(spec: &FleetSpec, node: &NodeSpec, dirs: &ClusterDirs) -> Vec<String> {
    let state = node.initial_cluster_state.word();
    let token = node.token.as_ref().unwrap_or(&spec.token);
    let data_dir = dirs.data(&node.name).display().to_string();
    let flags: [(&str, &str); 9] = [
        ("name", &node.name),
        ("data-dir", &data_dir),
        ("listen-client-urls", &node.client_url()),
        ("advertise-client-urls", &node.client_url()),
        ("listen-peer-urls", &node.listen_peer_url()),
        ("initial-advertise-peer-urls", &node.peer_url()),
        ("initial-cluster", &node.initial_cluster),
        ("initial-cluster-token", token),
        ("initial-cluster-state", state),
    ];
    flags.iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
}

fn etcd_flags(spec: &FleetSpec, dialect: Dialect) -> Vec<String> {
    let mut flags = Vec::new();
    if dialect.names_logger {
        flags.push("--logger=zap".to_owned());
    }
    if dialect.names_pre_vote && spec.settings.pre_vote.is_none() {
        flags.push("--pre-vote=true".to_owned());
    }
    flags.extend(spec.settings.flags());
    flags
}

/// Go reads either case, and prefers one or the other depending on the version.
fn proxy_environment(port: u16) -> Vec<(String, String)> {
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];
    names.map(|name| (name.to_owned(), format!("http://127.0.0.1:{port}"))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dirs::Home,
        engine::{Binary, Settings},
    };

    fn founders(engine: Engine, version: &str) -> FleetSpec {
        let binary = Binary {
            path: "/opt/etcd".into(),
            version: version.parse().unwrap(),
            sha256: String::new(),
        };
        let binary = (engine == Engine::Etcd).then_some(binary);
        FleetSpec::new("default", 3, 23790, 7, false).run_by(engine, binary)
    }

    fn of(spec: &FleetSpec, proxy: Option<u16>) -> Command {
        command(spec, &spec.nodes[1], &Home::new("/state").cluster("default"), 42, proxy)
    }

    #[test]
    fn our_own_node_gets_a_complete_command_line() {
        let argv = of(&founders(Engine::Builtin, "3.5.1"), None).argv.join(" ");
        assert_eq!(
            argv,
            "node --name=n2 --data-dir=/state/clusters/default/nodes/n2/data \
             --listen-client-urls=http://127.0.0.1:23800 \
             --advertise-client-urls=http://127.0.0.1:23800 \
             --listen-peer-urls=http://127.0.0.1:23801 \
             --initial-advertise-peer-urls=http://127.0.0.1:23801 \
             --initial-cluster=n1=http://127.0.0.1:23791,n2=http://127.0.0.1:23801,\
             n3=http://127.0.0.1:23811 --initial-cluster-token=default-0000000000000007 \
             --initial-cluster-state=new --log-format=json --die-with-parent=42 \
             --fault-file=/state/clusters/default/nodes/n2/faults"
        );
    }

    #[test]
    fn an_etcd_is_guarded_and_spoken_to_in_its_dialect() {
        let mut spec = founders(Engine::Etcd, "3.4.23");
        let old = of(&spec, Some(23803));
        assert_eq!(old.argv[..3], ["__guard", "42", "/opt/etcd"]);
        assert_eq!(old.argv[2..], old.shown);
        let has = |command: &Command, flag: &str| command.shown.iter().any(|it| it == flag);
        assert!(has(&old, "--logger=zap") && has(&old, "--pre-vote=true"));
        assert!(has(&old, "--listen-peer-urls=http://127.0.0.1:23801"));
        assert!(has(&old, "--initial-advertise-peer-urls=http://0.0.0.0:23801"));
        assert_eq!(old.environment.len(), 4);
        assert!(old.environment.iter().all(|(_, value)| value == "http://127.0.0.1:23803"));
        spec.settings = Settings { pre_vote: Some(false), ..Settings::default() };
        assert!(has(&of(&spec, None), "--pre-vote=false"));
        assert!(!has(&of(&spec, None), "--pre-vote=true"));
        let new = of(&founders(Engine::Etcd, "3.5.1"), None);
        assert!(!has(&new, "--logger=zap") && new.environment.is_empty());
    }

    #[test]
    fn a_node_can_have_a_program_of_its_own() {
        let mut spec = founders(Engine::Etcd, "3.4.23");
        spec.nodes[1].binary = Some(Binary {
            path: "/opt/newer".into(),
            version: "3.5.1".parse().unwrap(),
            sha256: String::new(),
        });
        assert_eq!(of(&spec, None).shown[0], "/opt/newer");
        assert!(!of(&spec, None).shown.iter().any(|it| it == "--logger=zap"));
    }
}
