//! Bytes, sizes and times as people read them.
//!
//! Keys and values are bytes. [`escape`] shows any of them on one line and [`unescape`] takes
//! exactly the same bytes back, so a key that is not UTF-8 can be seen, typed and addressed.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Readable, reversible form: valid printable UTF-8 as it is, everything else as `\xNN`.
pub fn escape(bytes: &[u8]) -> String {
    escape_with(bytes, false)
}

/// Like [`escape`], for text over several lines: newlines and tabs stay.
pub fn escape_lines(bytes: &[u8]) -> String {
    escape_with(bytes, true)
}

fn escape_with(bytes: &[u8], lines: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let kept = lines && (c == '\n' || c == '\t');
            if c == '\\' {
                out.push_str("\\\\");
            } else if kept || is_shown(c) {
                out.push(c);
            } else {
                let mut buffer = [0; 4];
                push_hex(&mut out, c.encode_utf8(&mut buffer).as_bytes());
            }
        }
        push_hex(&mut out, chunk.invalid());
    }
    out
}

/// Whether a terminal shows the character in a width we can count.
fn is_shown(c: char) -> bool {
    !c.is_control() && c.width().is_some_and(|width| width > 0)
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        out.push_str(&format!("\\x{byte:02x}"));
    }
}

/// What [`escape`] wrote, as bytes again. `\n` and `\t` are accepted for typing.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        match escape.chars().next() {
            Some('\\') => out.push(b'\\'),
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('x') => {
                let digits = escape.get(1..3).ok_or("\\x needs two hexadecimal digits")?;
                let byte = u8::from_str_radix(digits, 16)
                    .map_err(|_| format!("\\x{digits} is not a byte in hexadecimal"))?;
                out.push(byte);
                rest = &escape[3..];
                continue;
            }
            _ => return Err("after \\ comes \\, n, t or xNN (write \\\\ for a backslash)".into()),
        }
        rest = &escape[1..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Cuts text to `width` columns, the last one an ellipsis if something was cut.
pub fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        used += w;
        out.push(c);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// Breaks text into lines of at most `width` columns, at spaces where there are any.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or(0) > width.max(1) {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

/// Breaks a line after every `width` columns, wherever that is.
pub fn chop(line: &str, width: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut used) = (0, 0);
    for (at, c) in line.char_indices() {
        let columns = c.width().unwrap_or(0);
        if used + columns > width && at > from {
            parts.push(&line[from..at]);
            (from, used) = (at, 0);
        }
        used += columns;
    }
    parts.push(&line[from..]);
    parts
}

/// 26_345_472 → `25.1 MiB`.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes.max(0) as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit < UNITS.len() - 1 {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// 1234567 → `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Seconds as `42s`, `3m08s`, `2h05m`, `4d3h`.
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Microseconds as `0.43 ms`, `12 ms`, `1.2 s`.
pub fn latency(micros: u64) -> String {
    let ms = micros as f64 / 1_000.0;
    if ms < 10.0 {
        format!("{ms:.2} ms")
    } else if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1_000.0)
    }
}

/// Milliseconds since the epoch as `15:04:05` in the zone `offset_s` east of UTC.
pub fn clock(unix_ms: u64, offset_s: i32) -> String {
    let seconds = (unix_ms / 1_000) as i64 + i64::from(offset_s);
    let of_day = seconds.rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", of_day / 3_600, of_day % 3_600 / 60, of_day % 60)
}

/// Whether text passes a filter: contains it, or with `!` in front does not.
///
/// Typed in lower case it finds either case; an upper case letter means itself.
pub fn passes(text: &str, filter: &str) -> bool {
    match filter.strip_prefix('!') {
        Some(unwanted) => unwanted.is_empty() || !contains(text, unwanted),
        None => contains(text, filter),
    }
}

fn contains(text: &str, needle: &str) -> bool {
    if needle.is_empty() || needle.chars().any(char::is_uppercase) {
        text.contains(needle)
    } else {
        text.to_lowercase().contains(needle)
    }
}

/// A member id as etcd's tools print it.
pub fn member_id(id: u64) -> String {
    format!("{id:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_string_survives_escaping() {
        // Every single byte, every pair around the interesting ones, and real text.
        let mut cases: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
        for a in [0, b'\\', b'x', b'n', 0x7f, 0xc3, 0xff] {
            for b in 0..=255u8 {
                cases.push(vec![a, b]);
            }
        }
        cases.push("ключ/鍵\u{200b}/\u{0301}".as_bytes().to_vec());
        for case in cases {
            let shown = escape(&case);
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(unescape(&shown), Ok(case.clone()));
            assert_eq!(unescape(&escape_lines(&case)), Ok(case));
        }
    }

    #[test]
    fn mistyped_escapes_are_refused_not_guessed() {
        assert!(unescape("\\q").is_err());
        assert!(unescape("\\x4").is_err());
        assert!(unescape("\\xéé").is_err());
        assert!(unescape("tail\\").is_err());
    }

    #[test]
    fn fitting_counts_columns_not_characters() {
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("鍵鍵鍵", 4), "鍵…");
        assert_eq!(fit("abc", 3), "abc");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn wrapping_never_exceeds_the_width_and_loses_no_word() {
        let text = "writes stop until one more member is back averyveryverylongword";
        for width in 5..40 {
            let lines = wrap(text, width);
            assert!(lines.iter().all(|line| line.width() <= width), "{lines:?}");
            assert_eq!(lines.join("").replace(' ', ""), text.replace(' ', ""));
        }
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(20_480), "20.0 KiB");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(duration(188), "3m08s");
        assert_eq!(latency(430), "0.43 ms");
        assert_eq!(clock(0, 3_600), "01:00:00");
        assert_eq!(clock(0, -1), "23:59:59");
    }
}
