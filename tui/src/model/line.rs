//! Text being typed: one line for prompts, several for the editor.

use crate::key::{Code, Key};

/// Text with a cursor. Positions count characters, not bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextInput {
    pub lines: Vec<Vec<char>>,
    pub row: usize,
    pub column: usize,
    multiline: bool,
}

impl TextInput {
    pub fn line(text: &str) -> Self {
        Self::new(text, false)
    }

    pub fn multiline(text: &str) -> Self {
        Self::new(text, true)
    }

    fn new(text: &str, multiline: bool) -> Self {
        let mut input = Self { lines: vec![Vec::new()], row: 0, column: 0, multiline };
        if multiline {
            input.lines = text.split('\n').map(|line| line.chars().collect()).collect();
        } else {
            input.lines[0] = text.chars().collect();
        }
        // A short text is most often added to; a long one is read from the top.
        if let [only] = input.lines.as_slice() {
            input.column = only.len();
        }
        input
    }

    pub fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect()).collect();
        lines.join("\n")
    }

    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(Vec::is_empty)
    }

    /// Text from the clipboard: line breaks become spaces where there is only one line.
    pub fn paste(&mut self, text: &str) {
        for c in text.replace("\r\n", "\n").replace('\r', "\n").chars() {
            match c {
                '\n' if self.multiline => self.break_line(),
                '\n' => self.insert(' '),
                '\t' => self.insert('\t'),
                c if c.is_control() => {}
                c => self.insert(c),
            }
        }
    }

    /// Applies an editing key; `false` if it is none.
    pub fn press(&mut self, key: Key) -> bool {
        match (key.code, key.ctrl) {
            (Code::Char('a'), true) | (Code::Home, _) => self.column = 0,
            (Code::Char('e'), true) | (Code::End, _) => self.column = self.current().len(),
            (Code::Char('u'), true) => {
                let column = self.column;
                self.current_mut().drain(..column);
                self.column = 0;
            }
            (Code::Char('k'), true) => {
                let column = self.column;
                self.current_mut().truncate(column);
            }
            (Code::Char('w'), true) => self.delete_word(),
            (Code::Char(c), false) if !key.alt => self.insert(c),
            (Code::Backspace, _) => self.backspace(),
            (Code::Delete, _) => self.delete(),
            (Code::Left, _) => self.left(),
            (Code::Right, _) => self.right(),
            (Code::Enter, _) if self.multiline => self.break_line(),
            (Code::Up, _) if self.row > 0 => self.go_to_row(self.row - 1),
            (Code::Down, _) if self.row + 1 < self.lines.len() => self.go_to_row(self.row + 1),
            (Code::PageUp, _) if self.multiline => self.go_to_row(self.row.saturating_sub(10)),
            (Code::PageDown, _) if self.multiline => {
                self.go_to_row((self.row + 10).min(self.lines.len() - 1));
            }
            _ => return false,
        }
        true
    }

    fn current(&self) -> &Vec<char> {
        &self.lines[self.row]
    }

    fn current_mut(&mut self) -> &mut Vec<char> {
        &mut self.lines[self.row]
    }

    fn go_to_row(&mut self, row: usize) {
        self.row = row;
        self.column = self.column.min(self.current().len());
    }

    fn insert(&mut self, c: char) {
        let column = self.column;
        self.current_mut().insert(column, c);
        self.column += 1;
    }

    fn break_line(&mut self) {
        let column = self.column;
        let rest = self.current_mut().split_off(column);
        self.row += 1;
        self.lines.insert(self.row, rest);
        self.column = 0;
    }

    fn backspace(&mut self) {
        if self.column > 0 {
            self.column -= 1;
            let column = self.column;
            self.current_mut().remove(column);
        } else if self.row > 0 {
            let rest = self.lines.remove(self.row);
            self.row -= 1;
            self.column = self.current().len();
            self.current_mut().extend(rest);
        }
    }

    fn delete(&mut self) {
        let column = self.column;
        if column < self.current().len() {
            self.current_mut().remove(column);
        } else if self.row + 1 < self.lines.len() {
            let rest = self.lines.remove(self.row + 1);
            self.current_mut().extend(rest);
        }
    }

    fn delete_word(&mut self) {
        let mut start = self.column;
        let line = self.current();
        while start > 0 && !line[start - 1].is_alphanumeric() {
            start -= 1;
        }
        while start > 0 && line[start - 1].is_alphanumeric() {
            start -= 1;
        }
        let column = self.column;
        self.current_mut().drain(start..column);
        self.column = start;
    }

    fn left(&mut self) {
        if self.column > 0 {
            self.column -= 1;
        } else if self.row > 0 {
            self.go_to_row(self.row - 1);
            self.column = self.current().len();
        }
    }

    fn right(&mut self) {
        if self.column < self.current().len() {
            self.column += 1;
        } else if self.row + 1 < self.lines.len() {
            self.row += 1;
            self.column = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(input: &mut TextInput, keys: &[&str]) {
        for key in keys {
            assert!(input.press(Key::parse(key).expect(key)), "{key}");
        }
    }

    #[test]
    fn editing_one_line() {
        let mut input = TextInput::line("foo/bar");
        press(&mut input, &["ctrl-w", "é", "x", "left", "backspace", "home", "delete"]);
        assert_eq!(input.text(), "oo/x");
        assert!(!input.press(Key::plain(Code::Enter)), "enter is the prompt's, not the line's");
    }

    #[test]
    fn editing_many_lines() {
        let mut input = TextInput::multiline("ab\ncd");
        press(&mut input, &["end", "enter", "x", "down", "home", "backspace"]);
        assert_eq!(input.text(), "ab\nxcd");
        press(&mut input, &["delete", "up", "end", "delete"]);
        assert_eq!(input.text(), "abxd");
    }

    #[test]
    fn pasting_into_one_line_stays_on_it() {
        let mut input = TextInput::line("");
        input.paste("a\r\nb\u{7}");
        assert_eq!(input.text(), "a b");
    }
}
