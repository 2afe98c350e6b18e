//! The node's flags: etcd's names, etcd's syntax, etcd's defaults.
//!
//! Arguments, environment and the text of a configuration file go in, one [`NodeOptions`] comes out, or one sentence that
//! says what is wrong. Everything here is pure: no file is touched, no name is resolved,
//! nothing is printed; the environment and the reader of the file are arguments. That keeps
//! one invariant easy to see: the same words always give the same options.
//!
//! [`syntax`] splits words into flag and value the way Go's `flag` package does. The flags
//! stand in [`groups`], one file for each section of the help text with everything about its
//! flags: a new one is a row, a field and a line there. [`config_file`] gives every flag its
//! key in etcd's YAML. [`table`] finds flags and writes the
//! help text, [`values`] and [`urls`] parse single values, [`options`] puts all together.
//!
//! Left to others: whether a data directory already exists (then the bootstrap flags do not
//! count), whether the founders named fit this member (`node` checks that when it founds),
//! resolving host names, and opening ports.

mod config_file;
#[cfg(test)]
mod document;
pub mod groups;
mod options;
pub mod proxies;
mod syntax;
mod table;
mod urls;
mod values;

pub use groups::clustering::ClusterState;
pub use groups::logging::{LogFormat, LogLevel, LogOutput, LogRotation};
pub use options::NodeOptions;
pub use table::help;
pub use urls::HttpUrl;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run a node.
    Run(Box<NodeOptions>),
    /// Print the flags and leave.
    Help,
    /// Print the version and leave.
    Version,
}

/// Why the command line cannot be followed, in one sentence.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    #[error("flag provided but not defined: -{flag}; --help lists the flags there are")]
    Unknown { flag: String },
    #[error("flag needs an argument: -{flag}")]
    MissingValue { flag: String },
    #[error("there is no \"start\"; {program} start --help lists the flags")]
    NoCommand { program: &'static str },
    #[error("{word:?} is not a valid flag; flags start with --, and a boolean's value follows =")]
    NotAFlag { word: String },
    #[error("invalid value {value:?} for {origin}: {reason}")]
    InvalidValue { origin: String, value: String, reason: String, exit_code: u8 },
    #[error("configuration file {path}: {reason}")]
    ConfigFile { path: String, reason: String },
    /// Readable, but not to be run; the words are etcd's.
    #[error("{0}")]
    Configuration(String),
    #[error("--advertise-client-urls is required when --listen-client-urls is set explicitly")]
    AdvertiseMissing,
    #[error(
        "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
    )]
    ElectionTooShort { election: u64, heartbeat: u64 },
    #[error("--election-timeout[{election}ms] is too long, and should be set less than 50000ms")]
    ElectionTooLong { election: u64 },
}

impl FlagError {
    /// etcd's exit codes: 2 for words it cannot read, 1 for a configuration it cannot run.
    pub fn exit_code(&self) -> u8 {
        match self {
            FlagError::Unknown { .. } | FlagError::MissingValue { .. } => 2,
            FlagError::InvalidValue { exit_code, .. } => *exit_code,
            _ => 1,
        }
    }
}

/// Reads the words after the program's name (or after `node`) and the environment; `read_file`
/// gives the text of a configuration file.
pub fn parse(
    words: &[String],
    environment: impl IntoIterator<Item = (String, String)>,
    read_file: impl FnOnce(&str) -> std::io::Result<String>,
) -> Result<Request, FlagError> {
    let mut settings = syntax::Settings::default();
    match syntax::read_words(words, &mut settings)? {
        syntax::Wanted::Help => return Ok(Request::Help),
        syntax::Wanted::Run => {}
    }
    // The words are read whole before anything else is looked at, as in etcd.
    settings.check_all()?;
    if settings.boolean("version")? {
        return Ok(Request::Version);
    }
    syntax::read_environment(environment, &mut settings);
    if let Some(path) = Some(settings.text("config-file")).filter(|path| !path.is_empty()) {
        let text = read_file(path).map_err(|error| FlagError::ConfigFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        settings = config_file::read(path, &text)?;
    }
    settings.check_all()?;
    groups::legacy::resolve(&mut settings)?;
    Ok(Request::Run(Box::new(options::build(&settings)?)))
}

#[cfg(test)]
pub mod testing {
    use super::{FlagError, NodeOptions, Request, parse};

    /// What these words and no variables mean.
    pub fn options(words: &[&str]) -> Result<NodeOptions, FlagError> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        match parse(&words, [], |_| panic!("no file was asked for"))? {
            Request::Run(options) => Ok(*options),
            other => panic!("{other:?}"),
        }
    }
}
