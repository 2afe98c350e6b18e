//! What is logged, how, and the flag that only asks for the version.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, text};

pub const SECTION: Section = Section {
    title: "Logging and version",
    flags: &[
        text("log-level", "info", "debug, info, warn, error, panic or fatal."),
        text("log-format", "json", "'json' or 'console'."),
        text("logger", "zap", "Accepted for compatibility; only 'zap'."),
        boolean("version", "false", "Print the version and exit."),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub level: LogLevel,
    pub format: LogFormat,
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

pub fn build(settings: &Settings) -> Result<Options, FlagError> {
    if settings.text("logger") != "zap" {
        return Err(settings.invalid("logger", "the only logger is zap".into()));
    }
    Ok(Options { level: log_level(settings)?, format: log_format(settings)? })
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
