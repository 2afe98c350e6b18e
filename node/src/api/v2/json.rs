//! JSON as etcd's v2 API writes it, to the byte: the order of fields, what is left out when
//! empty, Go's escapes and Go's times. People compare such answers in shell scripts.

use std::fmt::Write as _;

use crate::v2::{Error, Event, View};

/// `text` as a JSON string.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Go escapes what could end a script in HTML or JavaScript.
            '<' | '>' | '&' | '\0'..='\x1f' | '\u{2028}' | '\u{2029}' | '\u{fffd}' => {
                escape(out, char);
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, char: char) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\u{:04x}", char as u32);
}

fn field(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

fn number(out: &mut String, name: &str, value: impl std::fmt::Display) {
    field(out, name);
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn text(out: &mut String, name: &str, value: &str) {
    field(out, name);
    string(out, value);
}

fn view(out: &mut String, node: &View) {
    out.push('{');
    if !node.key.is_empty() {
        text(out, "key", &node.key);
    }
    if let Some(value) = &node.value {
        text(out, "value", value);
    }
    if node.dir {
        number(out, "dir", true);
    }
    if let Some(at) = node.expiration {
        text(out, "expiration", &time(at));
    }
    if node.ttl != 0 {
        number(out, "ttl", node.ttl);
    }
    if !node.nodes.is_empty() {
        field(out, "nodes");
        out.push('[');
        for (at, child) in node.nodes.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            view(out, child);
        }
        out.push(']');
    }
    if node.modified != 0 {
        number(out, "modifiedIndex", node.modified);
    }
    if node.created != 0 {
        number(out, "createdIndex", node.created);
    }
    out.push('}');
}

/// An event on a line.
pub fn event(event: &Event, with_nodes: bool) -> String {
    let mut out = String::from("{");
    text(&mut out, "action", event.action.name());
    if with_nodes {
        field(&mut out, "node");
        view(&mut out, &event.node);
        if let Some(prev) = &event.prev_node {
            field(&mut out, "prevNode");
            view(&mut out, prev);
        }
    }
    out.push_str("}\n");
    out
}

/// An error on a line.
pub fn error(error: &Error) -> String {
    let mut out = String::from("{");
    number(&mut out, "errorCode", error.code as u16);
    text(&mut out, "message", error.code.message());
    if !error.cause.is_empty() {
        text(&mut out, "cause", &error.cause);
    }
    number(&mut out, "index", error.index);
    out.push_str("}\n");
    out
}

/// A moment, in nanoseconds since 1970, as Go writes it (UTC, no needless zeros).
pub fn time(nanos: i64) -> String {
    let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        out.push_str(fraction.trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// The date that many days after 1970-01-01, in the Gregorian calendar. Counted in years that
/// begin in March, so that the leap day is the last of a year.
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    const TO_MARCH_OF_YEAR_0: i64 = 719_468;
    let days = days + TO_MARCH_OF_YEAR_0;
    let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    let month = if january { month - 9 } else { month + 3 };
    (era * 400 + year + i64::from(january), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::v2::{Action, Code};

    #[test]
    fn times_are_written_as_go_does() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(1_795_459_224_023_719_599), "2026-11-23T18:40:24.023719599Z");
        assert_eq!(time(951_782_400_500_000_000), "2000-02-29T00:00:00.5Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(time(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(-200_000);
        for days in -199_999..200_000 {
            let now = date(days);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let next_year = (before.0 + 1, 1, 1);
            let follows = now == next_day
                || (now == next_month && before.2 >= 28)
                || (now == next_year && before.1 == 12 && before.2 == 31);
            assert!(follows, "{now:?} after {before:?}");
            before = now;
        }
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let mut out = String::new();
        string(&mut out, "<a&>é \"q\"\\\n\t\r\u{8}\u{7f}\u{2028}\u{fffd}");
        let expected =
            "\"\\u003ca\\u0026\\u003eé \\\"q\\\"\\\\\\n\\t\\r\\u0008\u{7f}\\u2028\\ufffd\"";
        assert_eq!(out, expected);
    }

    #[test]
    fn empty_fields_are_left_out() {
        let node = View {
            key: "/a".into(),
            value: Some(Arc::from("")),
            expiration: Some(1_000_000_000),
            ttl: 1,
            modified: 4,
            created: 3,
            ..View::default()
        };
        let root = View { dir: true, nodes: vec![node.clone()], ..View::default() };
        let get =
            Event { action: Action::Get, node: root, prev_node: None, index: 4, refresh: false };
        let file = r#"{"key":"/a","value":"","expiration":"1970-01-01T00:00:01Z","ttl":1,"modifiedIndex":4,"createdIndex":3}"#;
        let expected =
            format!("{{\"action\":\"get\",\"node\":{{\"dir\":true,\"nodes\":[{file}]}}}}\n");
        assert_eq!(event(&get, true), expected);
        assert_eq!(event(&get, false), "{\"action\":\"get\"}\n");
        let set = Event { action: Action::Set, prev_node: Some(node.clone()), node, ..get };
        let expected = format!("{{\"action\":\"set\",\"node\":{file},\"prevNode\":{file}}}\n");
        assert_eq!(event(&set, true), expected);
        let expected = "{\"errorCode\":102,\"message\":\"Not a file\",\"index\":7}\n";
        assert_eq!(error(&Error::new(Code::NotAFile, "", 7)), expected);
    }
}
