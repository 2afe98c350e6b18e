//! From settings to [`NodeOptions`]: every value parsed, every rule of etcd's checked.

use std::path::PathBuf;
use std::time::Duration;

use super::syntax::Settings;
use super::urls::{self, HttpUrl};
use super::{FlagError, values};

/// Everything the flags decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOptions {
    pub name: String,
    pub data_dir: PathBuf,
    /// Where the write-ahead log goes when not under the data directory.
    pub wal_dir: Option<PathBuf>,
    pub listen_client_urls: Vec<HttpUrl>,
    pub advertise_client_urls: Vec<HttpUrl>,
    pub listen_peer_urls: Vec<HttpUrl>,
    pub initial_advertise_peer_urls: Vec<HttpUrl>,
    /// Members at bootstrap by name.
    pub initial_cluster: Vec<(String, Vec<HttpUrl>)>,
    pub initial_cluster_token: String,
    pub initial_cluster_state: ClusterState,
    pub heartbeat_interval: Duration,
    pub election_timeout: Duration,
    pub snapshot_count: u64,
    pub snapshot_catchup_entries: u64,
    /// In bytes; `None` = no limit.
    pub quota_backend_bytes: Option<u64>,
    pub max_request_bytes: u32,
    pub max_txn_ops: u32,
    pub auto_compaction: AutoCompaction,
    pub strict_reconfig_check: bool,
    pub pre_vote: bool,
    pub enable_v2: bool,
    pub force_new_cluster: bool,
    pub unsafe_no_fsync: bool,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    /// End when this process does (set by the supervisor).
    pub die_with_parent: Option<i32>,
    /// Harmless oddities for the log.
    pub warnings: Vec<String>,
}

/// How a member without data comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// It founds the cluster together with the others of the list.
    New,
    /// It joins one that runs.
    Existing,
}

/// When old revisions are dropped without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    Off,
    /// Keep what is younger than this.
    Periodic(Duration),
    /// Keep this many revisions.
    Revision(i64),
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
    Panic,
    Fatal,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Json,
    Console,
}

/// etcd's limit when `--quota-backend-bytes` is 0.
const QUOTA_DEFAULT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// etcd's upper bound of an election timeout.
const ELECTION_MS_MAX: u64 = 50_000;

/// Parses and checks all settings.
pub fn build(settings: &Settings) -> Result<NodeOptions, FlagError> {
    if settings.text("logger") != "zap" {
        return Err(settings.invalid("logger", "the only logger is zap".into()));
    }
    if settings.is_given("listen-client-urls") && !settings.is_given("advertise-client-urls") {
        return Err(FlagError::AdvertiseMissing);
    }
    let (heartbeat_interval, election_timeout) = timing(settings)?;
    let name = settings.text("name").to_string();
    if name.is_empty() {
        return Err(settings.invalid("name", "a member needs a name".into()));
    }
    let initial_advertise_peer_urls = url_list(settings, "initial-advertise-peer-urls")?;
    let initial_cluster = match settings.text("initial-cluster") {
        "" => vec![(name.clone(), initial_advertise_peer_urls.clone())],
        text => urls::cluster(text).map_err(|why| settings.invalid("initial-cluster", why))?,
    };
    Ok(NodeOptions {
        data_dir: match settings.text("data-dir") {
            "" => PathBuf::from(format!("{name}.etcd")),
            text => PathBuf::from(text),
        },
        wal_dir: Some(settings.text("wal-dir")).filter(|dir| !dir.is_empty()).map(PathBuf::from),
        listen_client_urls: listen_urls(settings, "listen-client-urls")?,
        advertise_client_urls: url_list(settings, "advertise-client-urls")?,
        listen_peer_urls: listen_urls(settings, "listen-peer-urls")?,
        initial_advertise_peer_urls,
        initial_cluster,
        initial_cluster_token: settings.text("initial-cluster-token").to_string(),
        initial_cluster_state: cluster_state(settings)?,
        heartbeat_interval,
        election_timeout,
        snapshot_count: snapshot_count(settings)?,
        snapshot_catchup_entries: settings.number("snapshot-catchup-entries")?,
        quota_backend_bytes: match settings.number::<i64>("quota-backend-bytes")? {
            0 => Some(QUOTA_DEFAULT_BYTES),
            bytes => u64::try_from(bytes).ok(),
        },
        max_request_bytes: settings.number("max-request-bytes")?,
        max_txn_ops: settings.number("max-txn-ops")?,
        auto_compaction: auto_compaction(settings)?,
        strict_reconfig_check: settings.boolean("strict-reconfig-check")?,
        pre_vote: settings.boolean("pre-vote")?,
        enable_v2: settings.boolean("enable-v2")?,
        force_new_cluster: settings.boolean("force-new-cluster")?,
        unsafe_no_fsync: settings.boolean("unsafe-no-fsync")?,
        log_level: log_level(settings)?,
        log_format: log_format(settings)?,
        die_with_parent: parent(settings)?,
        warnings: settings.warnings.clone(),
        name,
    })
}

impl NodeOptions {
    /// What must hold before a member without data may start. With a data directory the
    /// bootstrap flags are not read, as in etcd, so this is not for a restart.
    pub fn verify_bootstrap(&self) -> Result<(), FlagError> {
        let mut seen: Vec<&HttpUrl> = Vec::new();
        for url in self.initial_cluster.iter().flat_map(|(_, urls)| urls) {
            if seen.iter().any(|other| other.same_place(url)) {
                return Err(FlagError::DuplicateUrl { url: url.to_string() });
            }
            seen.push(url);
        }
        let Some((_, listed)) = self.initial_cluster.iter().find(|(name, _)| *name == self.name)
        else {
            return Err(FlagError::NotInInitialCluster { name: self.name.clone() });
        };
        let advertised = &self.initial_advertise_peer_urls;
        let covers = |some: &[HttpUrl], all: &[HttpUrl]| {
            some.iter().all(|url| all.iter().any(|other| other.same_place(url)))
        };
        if covers(listed, advertised) && covers(advertised, listed) {
            return Ok(());
        }
        Err(FlagError::AdvertisedDiffers {
            name: self.name.clone(),
            listed: joined(listed),
            advertised: joined(advertised),
        })
    }
}

fn joined(urls: &[HttpUrl]) -> String {
    urls.iter().map(HttpUrl::to_string).collect::<Vec<_>>().join(",")
}

fn url_list(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    urls::list(settings.text(name)).map_err(|reason| settings.invalid(name, reason))
}

fn listen_urls(settings: &Settings, name: &str) -> Result<Vec<HttpUrl>, FlagError> {
    urls::listen_list(settings.text(name)).map_err(|reason| settings.invalid(name, reason))
}

/// Heartbeat and election timeout.
fn timing(settings: &Settings) -> Result<(Duration, Duration), FlagError> {
    let heartbeat: u64 = settings.number("heartbeat-interval")?;
    let election: u64 = settings.number("election-timeout")?;
    if heartbeat == 0 {
        return Err(settings.invalid("heartbeat-interval", "it must be above 0".into()));
    }
    if election > ELECTION_MS_MAX {
        return Err(FlagError::ElectionTooLong { election });
    }
    if heartbeat.saturating_mul(5) > election {
        return Err(FlagError::ElectionTooShort { election, heartbeat });
    }
    Ok((Duration::from_millis(heartbeat), Duration::from_millis(election)))
}

fn cluster_state(settings: &Settings) -> Result<ClusterState, FlagError> {
    let name = "initial-cluster-state";
    match settings.text(name) {
        "new" => Ok(ClusterState::New),
        "existing" => Ok(ClusterState::Existing),
        _ => Err(settings.invalid(name, "it is 'new' or 'existing'".into())),
    }
}

/// 0 means the default, as in etcd.
fn snapshot_count(settings: &Settings) -> Result<u64, FlagError> {
    match settings.number("snapshot-count")? {
        0 => Ok(10_000),
        count => Ok(count),
    }
}

fn auto_compaction(settings: &Settings) -> Result<AutoCompaction, FlagError> {
    const RETENTION: &str = "auto-compaction-retention";
    let retention = match settings.text(RETENTION) {
        "" => "0",
        text => text,
    };
    let invalid = |reason: &str| settings.invalid(RETENTION, reason.into());
    match settings.text("auto-compaction-mode") {
        "periodic" => {
            let period = match retention.parse::<u32>() {
                Ok(hours) => Duration::from_secs(u64::from(hours) * 3_600),
                Err(_) => values::duration(retention).map_err(|_| {
                    invalid("periodic takes a number of hours or a duration like 30m")
                })?,
            };
            Ok(if period.is_zero() {
                AutoCompaction::Off
            } else {
                AutoCompaction::Periodic(period)
            })
        }
        "revision" => match retention.parse::<i64>() {
            Ok(0) => Ok(AutoCompaction::Off),
            Ok(revisions) if revisions > 0 => Ok(AutoCompaction::Revision(revisions)),
            _ => Err(invalid("revision takes a number of revisions")),
        },
        _ => {
            let reason = "it is 'periodic' or 'revision'".into();
            Err(settings.invalid("auto-compaction-mode", reason))
        }
    }
}

fn log_level(settings: &Settings) -> Result<LogLevel, FlagError> {
    match settings.text("log-level").to_ascii_lowercase().as_str() {
        "debug" => Ok(LogLevel::Debug),
        "info" => Ok(LogLevel::Info),
        "warn" => Ok(LogLevel::Warn),
        "error" => Ok(LogLevel::Error),
        "dpanic" | "panic" => Ok(LogLevel::Panic),
        "fatal" => Ok(LogLevel::Fatal),
        _ => {
            let reason = "it is one of debug, info, warn, error, panic, fatal".into();
            Err(settings.invalid("log-level", reason))
        }
    }
}

fn log_format(settings: &Settings) -> Result<LogFormat, FlagError> {
    match settings.text("log-format") {
        "json" => Ok(LogFormat::Json),
        "console" => Ok(LogFormat::Console),
        _ => Err(settings.invalid("log-format", "it is 'json' or 'console'".into())),
    }
}

fn parent(settings: &Settings) -> Result<Option<i32>, FlagError> {
    if !settings.is_given("die-with-parent") {
        return Ok(None);
    }
    match settings.number::<i32>("die-with-parent")? {
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(settings.invalid("die-with-parent", "it is the pid of a process".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Request, parse};

    fn options(words: &[&str]) -> Result<NodeOptions, FlagError> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        match parse(&words, [])? {
            Request::Run(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }

    fn message(words: &[&str]) -> String {
        options(words).unwrap_err().to_string()
    }

    #[test]
    fn without_flags_it_is_etcds_single_node() {
        let options = options(&[]).unwrap();
        assert_eq!(options.name, "default");
        assert_eq!(options.data_dir, PathBuf::from("default.etcd"));
        assert_eq!(joined(&options.listen_client_urls), "http://localhost:2379");
        assert_eq!(joined(&options.listen_peer_urls), "http://localhost:2380");
        assert_eq!(options.initial_cluster[0].0, "default");
        assert_eq!(joined(&options.initial_cluster[0].1), "http://localhost:2380");
        assert_eq!(options.quota_backend_bytes, Some(2 << 30));
        assert_eq!(options.auto_compaction, AutoCompaction::Off);
        assert_eq!(options.election_timeout, Duration::from_secs(1));
        assert!(options.pre_vote && options.strict_reconfig_check && !options.force_new_cluster);
        assert_eq!(options.verify_bootstrap(), Ok(()));
    }

    #[test]
    fn the_data_directory_follows_the_name() {
        assert_eq!(options(&["--name=n1"]).unwrap().data_dir, PathBuf::from("n1.etcd"));
        let options = options(&["--name=n1", "--data-dir=/d", "--wal-dir=/w"]).unwrap();
        assert_eq!(options.data_dir, PathBuf::from("/d"));
        assert_eq!(options.wal_dir, Some(PathBuf::from("/w")));
    }

    #[test]
    fn listening_elsewhere_needs_an_advertised_url() {
        let listen = "--listen-client-urls=http://127.0.0.1:1";
        assert_eq!(options(&[listen]).unwrap_err(), FlagError::AdvertiseMissing);
        assert!(options(&[listen, "--advertise-client-urls=http://h:1"]).is_ok());
        assert_eq!(FlagError::AdvertiseMissing.exit_code(), 1);
    }

    #[test]
    fn the_initial_cluster_must_hold_this_member_as_advertised() {
        let check = |cluster: &str, advertised: &str| {
            let cluster = format!("--initial-cluster={cluster}");
            let advertised = format!("--initial-advertise-peer-urls={advertised}");
            options(&["--name=a", &cluster, &advertised]).unwrap().verify_bootstrap()
        };
        assert_eq!(check("a=http://h:1,b=http://h:2", "http://h:1"), Ok(()));
        assert_eq!(check("a=http://localhost:1", "http://127.0.0.1:1"), Ok(()));
        assert_eq!(check("a=http://h:1,a=http://h:2", "http://h:2,http://h:1"), Ok(()));
        assert_eq!(
            check("b=http://h:1", "http://h:1"),
            Err(FlagError::NotInInitialCluster { name: "a".into() })
        );
        for (cluster, advertised) in [
            ("a=http://h:1", "http://h:2"),
            ("a=http://h:1", "http://h:1,http://h:2"),
            ("a=http://h:1,a=http://h:2", "http://h:1"),
        ] {
            let error = check(cluster, advertised).unwrap_err();
            assert!(matches!(error, FlagError::AdvertisedDiffers { .. }), "{error}");
        }
        assert_eq!(
            check("a=http://h:1,b=http://h:1", "http://h:1"),
            Err(FlagError::DuplicateUrl { url: "http://h:1".into() })
        );
    }

    #[test]
    fn election_timeouts_are_bounded_on_both_sides() {
        let with = |heartbeat: u64, election: u64| {
            options(&[
                &format!("--heartbeat-interval={heartbeat}"),
                &format!("--election-timeout={election}"),
            ])
        };
        assert!(with(100, 500).is_ok());
        assert!(with(10_000, 50_000).is_ok());
        assert_eq!(
            with(100, 499).unwrap_err().to_string(),
            "--election-timeout[499ms] should be at least as 5 times as \
             --heartbeat-interval[100ms]"
        );
        assert_eq!(with(100, 50_001).unwrap_err(), FlagError::ElectionTooLong { election: 50_001 });
        assert!(with(0, 1_000).is_err());
        assert!(with(u64::MAX, 1_000).is_err());
    }

    #[test]
    fn retention_is_hours_a_duration_or_revisions() {
        let with = |mode: &str, retention: &str| {
            options(&[
                &format!("--auto-compaction-mode={mode}"),
                &format!("--auto-compaction-retention={retention}"),
            ])
            .map(|options| options.auto_compaction)
        };
        let minutes = |n: u64| AutoCompaction::Periodic(Duration::from_secs(n * 60));
        assert_eq!(with("periodic", "2"), Ok(minutes(120)));
        assert_eq!(with("periodic", "30m"), Ok(minutes(30)));
        assert_eq!(with("periodic", "0"), Ok(AutoCompaction::Off));
        assert_eq!(with("periodic", ""), Ok(AutoCompaction::Off));
        assert_eq!(with("revision", "1000"), Ok(AutoCompaction::Revision(1000)));
        assert_eq!(with("revision", "0"), Ok(AutoCompaction::Off));
        for (mode, retention) in
            [("periodic", "-1"), ("periodic", "x"), ("revision", "10m"), ("revision", "-1")]
        {
            assert!(with(mode, retention).is_err(), "{mode} {retention}");
        }
        assert!(with("sometimes", "1").is_err());
    }

    #[test]
    fn a_negative_quota_is_none() {
        let quota = |text: &str| {
            options(&[&format!("--quota-backend-bytes={text}")]).map(|o| o.quota_backend_bytes)
        };
        assert_eq!(quota("-1"), Ok(None));
        assert_eq!(quota("16777216"), Ok(Some(16_777_216)));
        assert!(quota("2GiB").is_err());
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
        assert_eq!(parse(&words, []), Ok(Request::Version));
    }
}
