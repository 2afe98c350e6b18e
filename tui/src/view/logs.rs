//! The log screen: the newest lines at the bottom, JSON made readable.

use super::canvas::{Canvas, Piece};
use crate::layout;
use crate::model::Model;
use crate::model::logs::LogLine;
use crate::theme::Role;
use unicode_width::UnicodeWidthChar;

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
    let nodes = model.cluster.fleet.iter().map(|node| node.name.len());
    let widest = nodes.max().unwrap_or(0);
    let room = usize::from(inner.width.saturating_sub(2));
    // From the bottom up: a wrapped line takes as many rows as it needs.
    let mut rows: Vec<Vec<Piece>> = Vec::new();
    for line in logs.newest().skip(logs.back) {
        if rows.len() >= height {
            break;
        }
        let pieces = line_pieces(model, line, widest);
        if logs.wrap {
            rows.extend(wrapped(pieces, room).into_iter().rev());
        } else {
            rows.push(pieces);
        }
    }
    rows.truncate(height);
    if rows.is_empty() {
        let text = match (logs.is_empty(), logs.filter.is_empty()) {
            (true, _) => "no line yet",
            (false, true) => "no line of this node yet",
            (false, false) => "no line passes the filter; esc clears it",
        };
        canvas.put(inner.x + 1, inner.y, inner.width, text, Role::Dim);
    }
    for (row, pieces) in rows.iter().rev().enumerate() {
        canvas.line(inner.x + 1, inner.y + row as u16, room as u16, pieces);
    }
}

fn line_pieces(model: &Model, line: &LogLine, widest: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    if model.logs.node.is_none() {
        pieces.push((Role::Node, format!("{:<widest$} ", line.node)));
    }
    if model.logs.raw {
        pieces.push((Role::Text, printable(&line.text)));
    } else {
        pieces.extend(readable(&line.text));
    }
    pieces
}

/// Breaks a line into rows of at most `width` columns; the later ones are indented.
fn wrapped(pieces: Vec<Piece>, width: usize) -> Vec<Vec<Piece>> {
    const INDENT: &str = "    ";
    let mut rows: Vec<Vec<Piece>> = vec![Vec::new()];
    let mut used = 0;
    for (role, content) in pieces {
        let mut part = String::new();
        for c in content.chars() {
            let columns = c.width().unwrap_or(0);
            if used + columns > width && used > INDENT.len() {
                push(&mut rows, role, std::mem::take(&mut part));
                rows.push(vec![(Role::Dim, INDENT.to_owned())]);
                used = INDENT.len();
            }
            used += columns;
            part.push(c);
        }
        push(&mut rows, role, part);
    }
    rows
}

fn push(rows: &mut [Vec<Piece>], role: Role, part: String) {
    if let (Some(row), false) = (rows.last_mut(), part.is_empty()) {
        row.push((role, part));
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
    fn wrapping_keeps_every_character_and_the_width() {
        let pieces = vec![(Role::Dim, "12345678".to_owned()), (Role::Bad, "abcdefghij".to_owned())];
        let rows = wrapped(pieces, 10);
        let texts: Vec<String> =
            rows.iter().map(|row| row.iter().map(|(_, text)| text.as_str()).collect()).collect();
        assert_eq!(texts, ["12345678ab", "    cdefgh", "    ij"]);
    }

    #[test]
    fn nested_fields_and_plain_lines_are_understood() {
        let line = r#"{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","fields":{"message":"ready","id":1},"target":"node"}"#;
        assert_eq!(plain(line), "03:04:05     info  ready  id=1");
        assert_eq!(plain("panic:\tboom"), "panic: boom");
    }
}
