//! Log lines shaped like etcd's (zap's), so that what reads etcd's log reads ours.
//!
//! One event is one line and one write to each of the [`outputs`]: JSON with `level`, `ts`, `caller`,
//! `msg` first and the event's fields behind them, or tab-separated for people. Spans are
//! not printed; a field that matters belongs to the event.
//!
//! Names of fields have dashes where Rust has underscores, as etcd's have.
//!
//! Three targets have a meaning: an event of target [`FATAL`] is the last word of a process
//! that is about to end, one of target [`PANIC`] comes from the panic hook. Both are written
//! at every level and carry etcd's level names. An event of target [`LISTED`] has all its fields in
//! one, because an event's own fields can hold no lists.

mod outputs;
mod rotation;

use std::fmt::{self, Write as _};
use std::panic::PanicHookInfo;

use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::outputs::Outputs;
use crate::flags::groups::logging::Options;
use crate::flags::{LogFormat, LogLevel};

/// Target of an event after which the process ends.
pub const FATAL: &str = "fatal";

/// Target of an event from the panic hook.
pub const PANIC: &str = "panic";

/// Target of an event whose only field is the text of a JSON array of pairs, name and value:
/// see [`pairs`].
pub const LISTED: &str = "listed";

/// The field of an event of target [`LISTED`].
pub fn pairs(fields: Vec<(&str, Value)>) -> String {
    Value::Array(fields.into_iter().map(|(name, value)| json!([name, value])).collect()).to_string()
}

/// Crates whose debug output would drown ours.
const LOUD_CRATES: &[&str] = &["h2", "hyper", "hyper_util", "pprof", "sled", "tonic", "tower"];

/// Sends events to where the options say, panics included. Only the first call of a process
/// has an effect.
pub fn start(options: &Options) -> Result<(), String> {
    let outputs = Outputs::open(&options.outputs, options.rotation.as_ref())?;
    let _already_started = subscriber(options.level, options.format, outputs).try_init();
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The subscriber writing to `writer`.
fn subscriber<W>(level: LogLevel, format: LogFormat, writer: W) -> impl Subscriber
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(writer)
        .event_format(ZapLine { format });
    tracing_subscriber::registry().with(lines).with(filter(level))
}

/// Which events are written at `level`.
fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Panic | LogLevel::Fatal => LevelFilter::OFF,
    };
    let last_words = [(FATAL, LevelFilter::ERROR), (PANIC, LevelFilter::ERROR)];
    let quiet = LOUD_CRATES.iter().map(|name| (*name, level.min(LevelFilter::WARN)));
    Targets::new().with_default(level).with_targets(last_words).with_targets(quiet)
}

/// Writes a panic as a log line, so that a node's log file ends with the reason.
fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("a value that is no text");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: PANIC, place, "panic: {message}");
}

/// One event as one line.
struct ZapLine {
    format: LogFormat,
}

impl<S, N> FormatEvent<S, N> for ZapLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if event.metadata().target() == LISTED {
            fields.spread();
        }
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let line = Line {
            level: level_name(event.metadata()),
            time,
            caller: caller(event.metadata()),
            fields,
        };
        writer.write_str(&match self.format {
            LogFormat::Json => line.json(),
            LogFormat::Console => line.console(),
        })
    }
}

/// The parts of a line.
struct Line {
    level: &'static str,
    time: String,
    caller: String,
    fields: Fields,
}

impl Line {
    /// zap's JSON encoder: level, ts, caller, msg, then the fields in the order recorded.
    fn json(&self) -> String {
        let mut out = format!(
            "{{\"level\":{},\"ts\":{},\"caller\":{},\"msg\":{}",
            quoted(self.level),
            quoted(&self.time),
            quoted(&self.caller),
            quoted(&self.fields.message)
        );
        for (name, value) in &self.fields.values {
            // Writing to a String cannot fail.
            let _ = write!(out, ",{}:{value}", quoted(name));
        }
        out.push_str("}\n");
        out
    }

    /// zap's console encoder: tab-separated, the fields as one JSON object at the end.
    fn console(&self) -> String {
        let Line { level, time, caller, fields } = self;
        let mut out = format!("{time}\t{level}\t{caller}\t{}", fields.message);
        for (at, (name, value)) in fields.values.iter().enumerate() {
            let before = if at == 0 { "\t{" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(out, "{before}{}: {}", quoted(name), spaced(value));
        }
        out.push_str(if fields.values.is_empty() { "\n" } else { "}\n" });
        out
    }
}

/// A value as zap's console encoder writes it, with room between the elements of a list.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(spaced).collect();
            format!("[{}]", elements.join(", "))
        }
        value => value.to_string(),
    }
}

fn quoted(text: &str) -> Value {
    Value::String(text.to_string())
}

/// zap's name of a level.
fn level_name(metadata: &Metadata<'_>) -> &'static str {
    match (metadata.target(), *metadata.level()) {
        (FATAL, _) => "fatal",
        (PANIC, _) => "panic",
        (_, Level::ERROR) => "error",
        (_, Level::WARN) => "warn",
        (_, Level::INFO) => "info",
        (_, Level::DEBUG | Level::TRACE) => "debug",
    }
}

/// `directory/file.rs:line`, as zap shortens it.
fn caller(metadata: &Metadata<'_>) -> String {
    let file = metadata.file().unwrap_or("unknown");
    let short = file.rmatch_indices('/').nth(1).map_or(file, |(at, _)| &file[at + 1..]);
    format!("{short}:{}", metadata.line().unwrap_or(0))
}

/// The message and the other fields of an event.
#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(String, Value)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                // A raw identifier (`r#type`) is an ordinary name in the log.
                let name = name.trim_start_matches("r#").replace('_', "-");
                self.values.push((name, value));
            }
        }
    }

    /// Takes the fields out of the one that has them all.
    fn spread(&mut self) {
        for (_, value) in std::mem::take(&mut self.values) {
            let text = value.as_str().unwrap_or_default();
            self.values
                .extend(serde_json::from_str::<Vec<(String, Value)>>(text).unwrap_or_default());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        // A list of words, as far as Rust spells it as JSON does.
        let list = text.starts_with("[\"").then(|| serde_json::from_str::<Vec<String>>(&text));
        self.add(field, list.and_then(Result::ok).map_or(Value::String(text), Value::from));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN; zap writes it as text too.
        let number = serde_json::Number::from_f64(value);
        self.add(field, number.map_or_else(|| value.to_string().into(), Value::Number));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, value.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

    /// Collects what is written.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat, body: impl FnOnce()) -> Vec<String> {
        let sink = Sink::default();
        let writer = sink.clone();
        tracing::subscriber::with_default(subscriber(level, format, move || writer.clone()), body);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_string).collect()
    }

    #[test]
    fn a_json_line_starts_like_zaps_and_keeps_the_fields() {
        let lines = logged(LogLevel::Info, LogFormat::Json, || {
            tracing::info!(
                peer = "n\"2\"\n",
                term = 7u64,
                ready = true,
                ratio = f64::NAN,
                "it's up"
            );
        });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("{\"level\":\"info\",\"ts\":\"2"), "{}", lines[0]);
        let value: Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(value["msg"], "it's up");
        assert_eq!(value["peer"], "n\"2\"\n");
        assert_eq!(value["term"], 7);
        assert_eq!(value["ready"], true);
        assert_eq!(value["ratio"], "NaN");
        assert!(value["ts"].as_str().unwrap().ends_with('Z'));
        let caller = value["caller"].as_str().unwrap();
        assert!(caller.starts_with("logging/mod.rs:"), "{caller}");
    }

    #[test]
    fn a_console_line_is_one_line_of_columns() {
        let lines = logged(LogLevel::Info, LogFormat::Console, || {
            tracing::warn!(term = 7, "slow");
            tracing::info!("plain");
        });
        let columns: Vec<_> = lines[0].split('\t').collect();
        assert_eq!((columns[1], columns[3], columns[4]), ("warn", "slow", "{\"term\": 7}"));
        assert_eq!(lines[1].split('\t').count(), 4);
    }

    #[test]
    fn fields_are_named_as_etcds_and_keep_their_order_and_lists() {
        let body = || {
            let fields = pairs(vec![("z-urls", json!(["a", "b"])), ("a-count", json!(7))]);
            tracing::info!(target: LISTED, fields, "starting");
            tracing::info!(remote_addr = "h:1", urls = ?["a"], "gone");
        };
        let json = logged(LogLevel::Info, LogFormat::Json, body);
        assert!(
            json[0].ends_with(r#","msg":"starting","z-urls":["a","b"],"a-count":7}"#),
            "{}",
            json[0]
        );
        assert!(
            json[1].ends_with(r#","msg":"gone","remote-addr":"h:1","urls":["a"]}"#),
            "{}",
            json[1]
        );
        let console = logged(LogLevel::Info, LogFormat::Console, body);
        assert!(console[0].ends_with("\tstarting\t{\"z-urls\": [\"a\", \"b\"], \"a-count\": 7}"));
    }

    #[test]
    fn the_level_hides_what_is_below_it_but_never_the_last_words() {
        let body = || {
            tracing::debug!("debug");
            tracing::info!("info");
            tracing::error!("error");
            tracing::info!(target: "h2::codec", "frame");
            tracing::error!(target: FATAL, "fatal");
            tracing::error!(target: PANIC, "panic");
        };
        let levels = |level| -> Vec<String> {
            let lines = logged(level, LogFormat::Json, body);
            let parse = |line: &String| serde_json::from_str::<Value>(line).unwrap();
            lines.iter().map(|l| parse(l)["level"].as_str().unwrap().into()).collect()
        };
        assert_eq!(levels(LogLevel::Debug), ["debug", "info", "error", "fatal", "panic"]);
        assert_eq!(levels(LogLevel::Info), ["info", "error", "fatal", "panic"]);
        assert_eq!(levels(LogLevel::Error), ["error", "fatal", "panic"]);
        assert_eq!(levels(LogLevel::Fatal), ["fatal", "panic"]);
    }
}
