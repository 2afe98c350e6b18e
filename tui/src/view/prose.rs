//! Markdown as far as reports use it: headings, lists, tables, fenced text.
//!
//! Lines come out wrapped and with roles; what is no Markdown known here is shown as written,
//! so nothing of a report can get lost.

use super::canvas::Piece;
use crate::text;
use crate::theme::Role;
use unicode_width::UnicodeWidthStr;

/// Lays a document out in lines of at most `width` columns.
pub fn lines(document: &str, width: usize) -> Vec<Vec<Piece>> {
    let mut out: Vec<Vec<Piece>> = Vec::new();
    let mut fenced = false;
    let mut table: Vec<Vec<String>> = Vec::new();
    for line in document.lines() {
        let line = line.trim_end();
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if !fenced && line.starts_with('|') {
            table.extend(row(line));
            continue;
        }
        flush(&mut out, &mut table, width);
        if fenced {
            out.push(vec![(Role::Dim, text::fit(&printable(line), width))]);
        } else {
            plain(&mut out, line, width);
        }
    }
    flush(&mut out, &mut table, width);
    out
}

fn plain(out: &mut Vec<Vec<Piece>>, line: &str, width: usize) {
    let heading = line.trim_start_matches('#');
    if heading.len() < line.len() && heading.starts_with(' ') {
        wrap(out, "", heading.trim(), width, Role::Title);
        return;
    }
    let content = line.trim_start();
    let indent = " ".repeat((line.len() - content.len()).min(width / 4));
    match content.strip_prefix("- ").or_else(|| content.strip_prefix("* ")) {
        Some(item) => wrap(out, &format!("{indent}• "), item, width, Role::Text),
        None => wrap(out, &indent, content, width, Role::Text),
    }
}

/// Wraps text behind a head that the later lines leave blank.
fn wrap(out: &mut Vec<Vec<Piece>>, head: &str, content: &str, width: usize, role: Role) {
    let content = unmarked(content);
    let room = width.saturating_sub(head.width()).max(1);
    for (index, line) in text::wrap(&content, room).into_iter().enumerate() {
        let head = if index == 0 { head.to_owned() } else { " ".repeat(head.width()) };
        out.push(vec![(Role::Dim, head), (role, line)]);
    }
}

/// Without the marks for bold and code; control characters would move the cursor.
fn unmarked(text: &str) -> String {
    printable(&text.replace("**", "").replace('`', ""))
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The cells of a table's line; none for the line under its head.
fn row(line: &str) -> Option<Vec<String>> {
    let inner = line.trim_matches('|');
    if inner.chars().all(|c| matches!(c, '-' | ':' | '|' | ' ')) {
        return None;
    }
    Some(inner.split('|').map(|cell| unmarked(cell.trim())).collect())
}

/// Writes the table gathered so far: columns as wide as they need, the widest one wrapped.
fn flush(out: &mut Vec<Vec<Piece>>, table: &mut Vec<Vec<String>>, width: usize) {
    let rows = std::mem::take(table);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    if columns == 0 {
        return;
    }
    let mut widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|c| c.width()).max().unwrap_or(0))
        .collect();
    let room = width.saturating_sub(2 * (columns - 1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = (0..columns).max_by_key(|at| widths[*at]) else { break };
        if widths[widest] <= 4 {
            break;
        }
        widths[widest] -= 1;
    }
    for (index, row) in rows.iter().enumerate() {
        let role = if index == 0 { Role::Title } else { Role::Text };
        let cells: Vec<Vec<String>> = widths
            .iter()
            .enumerate()
            .map(|(at, width)| text::wrap(row.get(at).map_or("", String::as_str), *width))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let piece = |(at, cell): (usize, &Vec<String>)| {
                let content = cell.get(line).map_or("", String::as_str);
                let padding = " ".repeat(widths[at].saturating_sub(content.width()) + 2);
                (role, format!("{content}{padding}"))
            };
            out.push(cells.iter().enumerate().map(piece).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(document: &str, width: usize) -> Vec<String> {
        let join = |line: Vec<Piece>| {
            line.into_iter().map(|(_, text)| text).collect::<String>().trim_end().to_owned()
        };
        lines(document, width).into_iter().map(join).collect()
    }

    #[test]
    fn headings_lists_and_tables_are_laid_out() {
        let document =
            "# Head\n\n- a `b` **c**\n- d\n\n| x | yy |\n|---|---|\n| 1 | 2 |\n| 333 | 4 |\n";
        assert_eq!(
            shown(document, 40),
            ["Head", "", "• a b c", "• d", "", "x    yy", "1    2", "333  4"]
        );
    }

    #[test]
    fn wide_tables_are_wrapped_and_no_word_is_lost() {
        let document = "| lane | expected |\n|--|--|\n| put | an outage of one or two timeouts |\n";
        let lines = shown(document, 24);
        assert!(lines.iter().all(|line| line.width() <= 24), "{lines:?}");
        let all = lines.join(" ");
        for word in ["put", "outage", "timeouts"] {
            assert!(all.contains(word), "{lines:?}");
        }
    }

    #[test]
    fn fenced_text_and_control_characters_are_shown_as_they_are() {
        assert_eq!(shown("```\n# not a head\n```", 40), ["# not a head"]);
        assert_eq!(shown("a\u{1b}[2Jb", 40), ["a [2Jb"]);
    }

    #[test]
    fn any_width_is_survived() {
        let document = "# h\n- item\n| a | b | c |\n|-|-|-|\n| 1 | 2 | 3 |\n```\nx\n```\ntext";
        for width in 0..20 {
            lines(document, width);
        }
    }
}
