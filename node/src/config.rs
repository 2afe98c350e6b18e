//! What a member is started with, checked and typed. Reading flags is the caller's work.

use std::path::PathBuf;
use std::time::Duration;

use crate::faults::DiskFaults;
use crate::features::Features;
pub use crate::net::{Security, SocketOptions, TlsOptions, TlsProtocol, TlsVersion};

/// Everything that is decided before a member starts.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    pub data_dir: PathBuf,
    /// Where the write-ahead log goes, if not into the data directory.
    pub wal_dir: Option<PathBuf>,
    pub listen: Listen,
    pub security: Security,
    /// `host:port` of an HTTP proxy that connections to other members go through.
    pub peer_proxy: Option<String>,
    pub http: Http,
    pub bootstrap: Bootstrap,
    pub timing: Timing,
    pub limits: Limits,
    pub slow: Slow,
    /// Where traces of requests go, if anywhere.
    pub tracing: Option<DistributedTracing>,
    pub auto_compaction: AutoCompaction,
    pub auth: Auth,
    pub upkeep: Upkeep,
    /// Judge membership changes by their effect on the quorum.
    pub strict_reconfig: bool,
    pub pre_vote: bool,
    /// Serve the JSON gateway.
    pub grpc_gateway: bool,
    /// Serve etcd's v2 API.
    pub enable_v2: bool,
    /// Skip every fsync: for tests and throw-away clusters.
    pub unsafe_no_fsync: bool,
    /// What is wrong with the disk, on request.
    pub faults: Option<&'static DiskFaults>,
    /// What `/version` and Status say.
    pub version: String,
}

/// Addresses to bind, and URLs to tell others.
#[derive(Clone, Debug)]
pub struct Listen {
    /// URLs, all of them.
    pub client: Vec<String>,
    /// For HTTP without gRPC; the client URLs then speak gRPC alone.
    pub client_http: Vec<String>,
    /// For metrics and health alone.
    pub metrics: Vec<String>,
    pub peer: Vec<String>,
    pub socket: SocketOptions,
    pub advertise_client: Vec<String>,
    pub advertise_peer: Vec<String>,
}

/// Who may ask what over HTTP, and how long a connection may idle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Origins of other sites' pages; `*` or none is any.
    pub cors: Vec<String>,
    /// Names of this host in plain HTTP; `*` or none is any.
    pub host_whitelist: Vec<String>,
    /// Serve profiles of this process below `/debug/pprof/`.
    pub profiles: bool,
    /// Print the authority of each request, as Go does with `http2debug=2`.
    pub print_authority: bool,
    /// Clients may ping this often; zero: as they like.
    pub ping_least: Duration,
    /// This member pings a silent client after this time; zero: never.
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub streams_max: u32,
}

/// How a member without data finds its cluster.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Founding members: name and peer URLs.
    pub cluster: Vec<(String, Vec<String>)>,
    /// How they are found when the command line does not name them.
    pub discovery: Option<Discovery>,
    /// Asked for host names instead of the system's name servers; for tests.
    pub name_server: Option<std::net::SocketAddr>,
    pub token: String,
    /// Join a cluster that runs, rather than found one.
    pub existing: bool,
    /// Make a one-member cluster of the data that is here.
    pub force_new_cluster: bool,
}

/// Where the founders are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    V2(DiscoveryV2),
    V3(DiscoveryV3),
    Srv(DiscoverySrv),
}

/// A directory of a server of the v2 keys API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryV2 {
    pub url: String,
    /// An HTTP proxy; empty: none.
    pub proxy: String,
}

/// Keys on an etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryV3 {
    pub token: String,
    /// `host:port`, or a URL.
    pub endpoints: Vec<String>,
    pub dial_timeout: Duration,
    pub request_timeout: Duration,
    pub keepalive_time: Duration,
    pub keepalive_timeout: Duration,
    pub secure: DiscoverySecure,
    pub user: Option<DiscoveryUser>,
}

/// As whom the registry is asked. The password is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct DiscoveryUser {
    pub name: String,
    pub password: String,
}

impl std::fmt::Debug for DiscoveryUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DiscoveryUser {{ name: {:?} }}", self.name)
    }
}

/// How the endpoints of v3 discovery are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoverySecure {
    pub insecure_transport: bool,
    pub insecure_skip_verify: bool,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub cacert: Option<PathBuf>,
}

/// Service records of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySrv {
    pub domain: String,
    /// Behind a dash at the end of the service's name; empty: none.
    pub service: String,
}

/// The clocks of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub heartbeat: Duration,
    pub election: Duration,
    /// The first election after a start need not wait a whole timeout.
    pub advance_first_election: bool,
}

/// What takes longer is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// Applying a batch of entries.
    pub apply: Duration,
    /// A request with one answer.
    pub unary: Duration,
}

/// Where traces of requests go, and which requests are traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributedTracing {
    /// `host:port` of a collector that speaks OTLP over gRPC, without encryption.
    pub address: String,
    pub service_name: String,
    pub instance_id: Option<String>,
    /// Of requests whose client says nothing; its own decision goes first.
    pub samples_per_million: u32,
}

/// Sizes that a member holds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Applied entries kept in memory before the log is compacted.
    pub snapshot_count: u64,
    /// Entries kept for followers that lag.
    pub catch_up_entries: u64,
    /// Bytes of the applied state; `None` is no limit.
    pub quota_bytes: Option<u64>,
    pub max_request_bytes: usize,
    pub max_txn_ops: usize,
}

/// How callers prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub token: AuthToken,
    /// How long a simple token lives after its last use.
    pub token_ttl: Duration,
    /// bcrypt's cost, 4 to 31.
    pub bcrypt_cost: u32,
}

/// The kind of token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthToken {
    Simple,
    Jwt(Jwt),
}

/// Signed tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    pub sign_method: String,
    pub public_key: Option<PathBuf>,
    pub private_key: Option<PathBuf>,
    /// How long a token is good.
    pub ttl: Duration,
}

/// What a member checks and reports by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upkeep {
    pub features: Features,
    /// Between comparisons of all members' data.
    pub corrupt_check: Option<Duration>,
    /// Between comparisons after compactions, if their gate is open.
    pub compact_hash_check: Duration,
    /// Between looks whether a downgrade is over.
    pub downgrade_check: Option<Duration>,
    /// After this long an idle watcher that asked for it is told the revision.
    pub watch_progress: Duration,
    pub max_learners: u32,
    /// Also histograms of how long calls take.
    pub extensive_metrics: bool,
}

impl Default for Upkeep {
    /// etcd's defaults.
    fn default() -> Self {
        Self {
            features: Features::default(),
            corrupt_check: None,
            compact_hash_check: Duration::from_secs(60),
            downgrade_check: Some(Duration::from_secs(5)),
            watch_progress: Duration::from_secs(600),
            max_learners: 1,
            extensive_metrics: false,
        }
    }
}

/// When old revisions are compacted without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    Off,
    /// Keep the revisions of this last while.
    Periodic(Duration),
    /// Keep this many revisions.
    Revisions(i64),
}

impl Limits {
    /// The quota as etcd shows it: -1 says that there is none.
    pub fn quota_for_show(&self) -> i64 {
        self.quota_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX))
    }
}

impl Timing {
    /// The limit for a request that goes through consensus (etcd: 5 s and two elections).
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }

    /// Heartbeats in an election timeout.
    pub fn election_ticks(&self) -> usize {
        let ticks = self.election.as_millis() / self.heartbeat.as_millis().max(1);
        usize::try_from(ticks).unwrap_or(usize::MAX).max(2)
    }
}
