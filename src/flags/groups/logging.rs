//! What is logged, how and where, and the flag that only asks for the version.

use std::path::PathBuf;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, text};

pub const SECTION: Section = Section {
    title: "Logging and version",
    flags: &[
        text("log-level", "info", "debug, info, warn, error, panic or fatal."),
        text("log-format", "json", "'json' or 'console'."),
        text("log-outputs", "default", "'default' (stderr), 'stderr', 'stdout' and files."),
        boolean("enable-log-rotation", "false", "Put a log file aside when it is large."),
        text(
            "log-rotation-config-json",
            ROTATION,
            "maxsize in MB; maxage in days and maxbackups, 0: no limit; gzip with compress.",
        ),
        text("logger", "zap", "Accepted for compatibility; only 'zap'."),
        boolean("version", "false", "Print the version and exit."),
    ],
};

const ROTATION: &str =
    r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub level: LogLevel,
    pub format: LogFormat,
    pub outputs: Vec<LogOutput>,
    /// How a file is rotated; `None`: not at all.
    pub rotation: Option<LogRotation>,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    Stderr,
    Stdout,
    File(PathBuf),
}

/// When a log file is put aside, and what happens to those that were. 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRotation {
    pub max_size_mb: u64,
    pub max_age_days: u64,
    pub max_backups: usize,
    pub local_time: bool,
    pub compress: bool,
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
    match settings.text("logger") {
        "zap" => {}
        "capnslog" => return wrong("--logger=capnslog is removed in v3.5".into()),
        other => return wrong(format!("unknown logger option {other:?}; the only one is zap")),
    }
    let outputs = outputs(settings)?;
    let rotation = match settings.boolean("enable-log-rotation")? {
        true => Some(rotation(settings, &outputs)?),
        false => None,
    };
    Ok(Options { level: log_level(settings)?, format: log_format(settings)?, outputs, rotation })
}

fn wrong<T>(text: String) -> Result<T, FlagError> {
    Err(FlagError::Configuration(text))
}

fn outputs(settings: &Settings) -> Result<Vec<LogOutput>, FlagError> {
    let mut outputs = Vec::new();
    let names: Vec<&str> = settings.text("log-outputs").split(',').map(str::trim).collect();
    if names.len() > 1 && names.contains(&"default") {
        return wrong("multi logoutput for \"default\" is not supported yet".into());
    }
    for name in names {
        let output = match name {
            // What systemd reads from standard error goes to its journal.
            "" | "default" | "stderr" | "systemd/journal" => LogOutput::Stderr,
            "stdout" => LogOutput::Stdout,
            path => LogOutput::File(PathBuf::from(path)),
        };
        if !outputs.contains(&output) {
            outputs.push(output);
        }
    }
    Ok(outputs)
}

fn rotation(settings: &Settings, outputs: &[LogOutput]) -> Result<LogRotation, FlagError> {
    let files = outputs.iter().filter(|output| matches!(output, LogOutput::File(_))).count();
    if files != 1 {
        return wrong(
            "--log-outputs requires a single file path when --log-rotate-config-json is defined"
                .into(),
        );
    }
    let text = settings.text("log-rotation-config-json");
    let value: serde_json::Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return wrong(format!("improperly formatted log rotation config: {error}")),
    };
    let Some(fields) = value.as_object() else {
        return wrong("invalid log rotation config: it is not a JSON object".into());
    };
    let mut rotation = LogRotation { max_size_mb: 100, ..LogRotation::default() };
    for (name, value) in fields {
        let known = match name.to_ascii_lowercase().as_str() {
            "maxsize" => value.as_u64().map(|size| {
                // 0 is lumberjack's default.
                rotation.max_size_mb = if size == 0 { 100 } else { size };
            }),
            "maxage" => value.as_u64().map(|days| rotation.max_age_days = days),
            "maxbackups" => value.as_u64().map(|count| {
                rotation.max_backups = usize::try_from(count).unwrap_or(usize::MAX);
            }),
            "localtime" => value.as_bool().map(|local| rotation.local_time = local),
            "compress" => value.as_bool().map(|compress| rotation.compress = compress),
            _ => None,
        };
        if known.is_none() {
            return wrong(format!("invalid log rotation config: {name}: {value}"));
        }
    }
    Ok(rotation)
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
        other => wrong(format!("unknown log format: {other}, supported values json, console")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn outputs_are_places_and_files() {
        let outputs = |text: &str| {
            options(&[&format!("--log-outputs={text}")]).map(|options| options.logging.outputs)
        };
        assert_eq!(outputs("default"), Ok(vec![LogOutput::Stderr]));
        assert_eq!(outputs("systemd/journal"), Ok(vec![LogOutput::Stderr]));
        let file = LogOutput::File("/tmp/a.log".into());
        assert_eq!(
            outputs("stderr, stdout,/tmp/a.log,stderr"),
            Ok(vec![LogOutput::Stderr, LogOutput::Stdout, file])
        );
        assert_eq!(
            outputs("default,/tmp/a.log").unwrap_err().to_string(),
            "multi logoutput for \"default\" is not supported yet"
        );
    }

    #[test]
    fn rotation_is_lumberjacks() {
        let with = |outputs: &str, json: &str| {
            options(&[
                &format!("--log-outputs={outputs}"),
                "--enable-log-rotation",
                &format!("--log-rotation-config-json={json}"),
            ])
            .map(|options| options.logging.rotation)
        };
        assert_eq!(
            with("stderr,a.log", r#"{"maxsize":1,"maxbackups":2,"maxage":3,"compress":true}"#),
            Ok(Some(LogRotation {
                max_size_mb: 1,
                max_backups: 2,
                max_age_days: 3,
                compress: true,
                local_time: false,
            }))
        );
        assert_eq!(with("a.log", r#"{"maxsize":0}"#).unwrap().unwrap().max_size_mb, 100);
        for (outputs, json) in [
            ("stderr", "{}"),
            ("a.log,b.log", "{}"),
            ("a.log", "{"),
            ("a.log", "[]"),
            ("a.log", r#"{"maxsize":"1"}"#),
            ("a.log", r#"{"maxsize":-1}"#),
            ("a.log", r#"{"size":1}"#),
        ] {
            assert_eq!(with(outputs, json).unwrap_err().exit_code(), 1, "{outputs} {json}");
        }
        assert_eq!(options(&["--log-outputs=a.log"]).unwrap().logging.rotation, None);
    }
}
