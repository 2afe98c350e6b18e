//! The log screen: the newest lines at the bottom, JSON made readable.

use super::canvas::{Canvas, Piece};
use crate::layout;
use crate::model::Model;
use crate::model::logs::LogLine;
use crate::theme::Role;

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let logs = &model.logs;
    let body = layout::frame(model.size).body;
    let who = logs.node.clone().unwrap_or_else(|| "all nodes".to_owned());
    let mut title = vec![(Role::Title, format!("Logs {who}"))];
    if !logs.filter.is_empty() {
        title.push((Role::Warn, format!(" filter {}", logs.filter)));
    }
    title.push(match (logs.paused, logs.back) {
        (false, _) => (Role::Good, " ● following".to_owned()),
        (true, 0) => (Role::Warn, " ‖ stopped".to_owned()),
        (true, back) => (Role::Warn, format!(" ‖ {back} lines below, f follows")),
    });
    let inner = canvas.frame(body, &title, true);
    let height = usize::from(inner.height);
    let shown: Vec<&LogLine> = logs.newest().skip(logs.back).take(height).collect();
    if shown.is_empty() {
        let text = match (logs.is_empty(), logs.filter.is_empty()) {
            (true, _) => "no line yet",
            (false, true) => "no line of this node yet",
            (false, false) => "no line passes the filter; esc clears it",
        };
        canvas.put(inner.x + 1, inner.y, inner.width, text, Role::Dim);
    }
    let nodes: Vec<&str> = model.cluster.fleet.iter().map(|n| n.name.as_str()).collect();
    let widest = nodes.iter().map(|name| name.len()).max().unwrap_or(0);
    for (row, line) in shown.iter().rev().enumerate() {
        let mut pieces: Vec<Piece> = Vec::new();
        if logs.node.is_none() {
            pieces.push((Role::Node, format!("{:<widest$} ", line.node)));
        }
        if logs.raw {
            pieces.push((Role::Text, printable(&line.text)));
        } else {
            pieces.extend(readable(&line.text));
        }
        canvas.line(inner.x + 1, inner.y + row as u16, inner.width.saturating_sub(2), &pieces);
    }
}

/// Control characters would move the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `{"level":"info","ts":"…","msg":"…","a":1}` → `15:04:05.123 info  msg  a=1`.
pub fn readable(line: &str) -> Vec<Piece> {
    let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
    let Ok(fields) = parsed else {
        return vec![(Role::Text, printable(line))];
    };
    let text_of = |names: &[&str]| {
        names.iter().find_map(|name| fields.get(*name)?.as_str()).unwrap_or_default().to_owned()
    };
    let time = text_of(&["ts", "timestamp"]);
    let clock = time.split('T').nth(1).unwrap_or(&time);
    let clock: String = clock.chars().take(12).take_while(|c| !matches!(c, 'Z' | '+')).collect();
    let level = text_of(&["level"]).to_lowercase();
    let nested = fields.get("fields").and_then(|f| f.as_object());
    let message = nested
        .and_then(|f| f.get("message")?.as_str())
        .map_or_else(|| text_of(&["msg", "message"]), str::to_owned);
    let role = match level.as_str() {
        "warn" | "warning" => Role::Warn,
        "error" | "fatal" | "panic" | "dpanic" => Role::Bad,
        "debug" | "trace" => Role::Dim,
        _ => Role::Text,
    };
    let mut pieces = vec![
        (Role::Dim, format!("{clock:<12} ")),
        (if role == Role::Text { Role::Dim } else { role }, format!("{level:<5} ")),
        (role, printable(&message)),
    ];
    const KNOWN: [&str; 10] = [
        "level",
        "ts",
        "timestamp",
        "msg",
        "message",
        "caller",
        "fields",
        "target",
        "logger",
        "stacktrace",
    ];
    let own = fields.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let inside = nested.into_iter().flatten().filter(|(name, _)| name.as_str() != "message");
    for (name, value) in own.chain(inside) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        pieces.push((Role::Dim, format!("  {name}=")));
        pieces.push((Role::Text, printable(&value)));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> String {
        readable(line).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn json_lines_read_as_sentences() {
        let line = r#"{"level":"warn","ts":"2026-01-02T03:04:05.678901Z","caller":"x.go:1","msg":"lost leader","term":7}"#;
        assert_eq!(plain(line), "03:04:05.678 warn  lost leader  term=7");
        assert_eq!(readable(line)[2].0, Role::Warn);
    }

    #[test]
    fn nested_fields_and_plain_lines_are_understood() {
        let line = r#"{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","fields":{"message":"ready","id":1},"target":"node"}"#;
        assert_eq!(plain(line), "03:04:05     info  ready  id=1");
        assert_eq!(plain("panic:\tboom"), "panic: boom");
    }
}
