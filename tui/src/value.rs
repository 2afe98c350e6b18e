//! A value's bytes as lines to read: JSON, text, or a hex dump.
//!
//! JSON is only re-indented, never re-encoded: order of fields, spelling of numbers and
//! duplicate fields stay what they are in the store. No line is wider than the pane, so that
//! all of a value can be read. Decoding happens once per value and width; the view shows a
//! window of the lines.

use crate::text;
use unicode_width::UnicodeWidthStr;

/// How the user wants to see values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Auto,
    Json,
    Text,
    Hex,
}

impl Format {
    pub fn next(self) -> Self {
        match self {
            Self::Auto => Self::Json,
            Self::Json => Self::Text,
            Self::Text => Self::Hex,
            Self::Hex => Self::Auto,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "JSON",
            Self::Text => "text",
            Self::Hex => "hex",
        }
    }
}

/// A value made readable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// What it is shown as: never `Auto`.
    pub shown_as: Format,
    pub lines: Vec<String>,
    /// Whether the value is longer than what the lines show.
    pub cut: bool,
}

/// More than this is not laid out: nobody reads it in a pane, and the UI must not stall.
const BYTES_SHOWN: usize = 512 * 1024;

/// Lays `bytes` out in the wished format, or in what they look like, in lines of at most
/// `columns`.
pub fn decode(bytes: &[u8], wish: Format, columns: usize) -> Decoded {
    let mut decoded = lay_out(bytes, wish, columns);
    if decoded.lines.iter().any(|line| line.width() > columns) {
        let broken = decoded.lines.iter().flat_map(|line| text::chop(line, columns));
        decoded.lines = broken.map(str::to_owned).collect();
    }
    decoded
}

fn lay_out(bytes: &[u8], wish: Format, columns: usize) -> Decoded {
    let window = &bytes[..bytes.len().min(BYTES_SHOWN)];
    let cut = window.len() < bytes.len();
    if matches!(wish, Format::Auto | Format::Json)
        && let Some(lines) = if cut { None } else { json(window, wish == Format::Auto) }
    {
        return Decoded { shown_as: Format::Json, lines, cut };
    }
    let readable = mostly_text(window);
    if wish == Format::Hex || (wish == Format::Auto && !readable) {
        return Decoded { shown_as: Format::Hex, lines: hex(window, columns), cut };
    }
    let shown = text::escape_lines(window);
    let lines = shown.split('\n').map(|line| line.replace('\t', "    ")).collect();
    Decoded { shown_as: Format::Text, lines, cut }
}

/// UTF-8 without control characters, bar those that text has. A cut at the window's end may
/// split a character; that does not make the rest binary.
fn mostly_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or("")
        }
        Err(_) => return false,
    };
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// Indented JSON, or `None` if it is not JSON. With `containers_only`, a bare number or
/// string is left to the text view: re-indenting it would add nothing.
fn json(bytes: &[u8], containers_only: bool) -> Option<Vec<String>> {
    let source = std::str::from_utf8(bytes).ok()?.trim();
    if containers_only && !source.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<serde::de::IgnoredAny>(source).ok()?;
    let mut layout = Layout { lines: Vec::new(), line: String::new(), depth: 0 };
    let mut characters = source.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                layout.line.push(c);
                let mut escaped = false;
                for c in characters.by_ref() {
                    layout.line.push(c);
                    if c == '"' && !escaped {
                        break;
                    }
                    escaped = c == '\\' && !escaped;
                }
            }
            '{' | '[' => {
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                let closing = if c == '{' { '}' } else { ']' };
                layout.line.push(c);
                if characters.next_if_eq(&closing).is_some() {
                    layout.line.push(closing);
                } else {
                    layout.depth += 1;
                    layout.break_line();
                }
            }
            '}' | ']' => {
                layout.depth = layout.depth.saturating_sub(1);
                layout.break_line();
                layout.line.push(c);
            }
            ',' => {
                layout.line.push(c);
                layout.break_line();
            }
            ':' => layout.line.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => layout.line.push(c),
        }
    }
    layout.lines.push(layout.line);
    Some(layout.lines)
}

struct Layout {
    lines: Vec<String>,
    line: String,
    depth: usize,
}

impl Layout {
    fn break_line(&mut self) {
        self.lines.push(std::mem::replace(&mut self.line, "  ".repeat(self.depth)));
    }
}

/// `00000010  68 65 6c 6c 6f                 hello`, sixteen bytes a line, or fewer where the
/// line would be too wide.
fn hex(bytes: &[u8], columns: usize) -> Vec<String> {
    let a_line = match columns {
        ..43 => 4,
        43..76 => 8,
        _ => 16,
    };
    bytes
        .chunks(a_line)
        .enumerate()
        .map(|(row, chunk)| {
            let mut line = format!("{:08x} ", row * a_line);
            for column in 0..a_line {
                if column == 8 {
                    line.push(' ');
                }
                match chunk.get(column) {
                    Some(byte) => line.push_str(&format!(" {byte:02x}")),
                    None => line.push_str("   "),
                }
            }
            line.push_str("  ");
            line.extend(chunk.iter().map(|b| match b {
                b' '..=b'~' => char::from(*b),
                _ => '·',
            }));
            line
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_order_numbers_and_strings_as_stored() {
        let source =
            br#"{"z":1.50,"a":[1,{"s":"a,b:{}\"[]"}],"e":{},"l":[ ],"big":12345678901234567890}"#;
        let decoded = decode(source, Format::Auto, 80);
        assert_eq!(decoded.shown_as, Format::Json);
        assert_eq!(
            decoded.lines,
            [
                "{",
                "  \"z\": 1.50,",
                "  \"a\": [",
                "    1,",
                "    {",
                "      \"s\": \"a,b:{}\\\"[]\"",
                "    }",
                "  ],",
                "  \"e\": {},",
                "  \"l\": [],",
                "  \"big\": 12345678901234567890",
                "}",
            ]
        );
    }

    #[test]
    fn what_is_not_json_is_text_and_what_is_not_text_is_hex() {
        assert_eq!(decode(b"{broken", Format::Auto, 80).shown_as, Format::Text);
        assert_eq!(decode(b"42", Format::Auto, 80).shown_as, Format::Text);
        assert_eq!(decode(b"42", Format::Json, 80).shown_as, Format::Json);
        assert_eq!(decode(b"one\ntwo", Format::Auto, 80).lines, ["one", "two"]);
        assert_eq!(decode(b"k8s\0\x01", Format::Auto, 80).shown_as, Format::Hex);
        assert_eq!(decode(b"\xff", Format::Text, 80).lines, ["\\xff"]);
    }

    #[test]
    fn all_of_a_value_is_in_the_lines_however_narrow_they_are() {
        let source = "漢字 and a long line without an end\n\nshort";
        for columns in [1, 2, 7, 30] {
            let lines = decode(source.as_bytes(), Format::Auto, columns).lines;
            assert_eq!(lines.concat(), source.replace('\n', ""));
            assert!(lines.iter().all(|line| line.width() <= columns.max(2)), "{lines:?}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        for (columns, a_line) in [(30, 4), (43, 8), (75, 8), (76, 16), (200, 16)] {
            let lines = decode(&bytes, Format::Hex, columns).lines;
            assert_eq!(lines.len(), 256 / a_line);
            assert!(lines.iter().all(|line| line.width() <= columns), "{lines:?}");
            assert!(lines[1].starts_with(&format!("{a_line:08x}")), "{lines:?}");
        }
    }

    #[test]
    fn hex_lines_align() {
        let lines = decode(&(0..40).collect::<Vec<u8>>(), Format::Hex, 80).lines;
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("00000000  00 01 02 03 04 05 06 07  08"));
        let column = |line: &str| line.find("  ").map(|_| line.chars().count() - 16);
        assert_eq!(column(&lines[0]), column(&lines[1]));
    }

    #[test]
    fn a_long_value_is_cut_and_says_so() {
        let decoded = decode(&vec![b'a'; BYTES_SHOWN + 1], Format::Auto, 80);
        assert!(decoded.cut);
        assert_eq!(decoded.shown_as, Format::Text);
    }
}
