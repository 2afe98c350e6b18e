//! A key press in our own words.
//!
//! The reducer and the keymap never see the terminal library: `input.rs` translates into
//! this type, tests write it by name (`"ctrl-s"`). What a key *means* is left to `keymap.rs`.

use std::fmt;

/// Which key, without modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    Char(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    Function(u8),
}

/// A key with its modifiers. Shift is part of the character (`X`), so it is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub code: Code,
    pub ctrl: bool,
    pub alt: bool,
}

/// The names keys go by in the keymap, besides single characters and `f1`..`f12`.
const NAMES: [(&str, Code); 16] = [
    ("enter", Code::Enter),
    ("esc", Code::Esc),
    ("tab", Code::Tab),
    ("backtab", Code::BackTab),
    ("backspace", Code::Backspace),
    ("delete", Code::Delete),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("home", Code::Home),
    ("end", Code::End),
    ("pageup", Code::PageUp),
    ("pagedown", Code::PageDown),
    ("space", Code::Char(' ')),
    ("minus", Code::Char('-')),
];

impl Key {
    pub fn plain(code: Code) -> Self {
        Self { code, ctrl: false, alt: false }
    }

    pub fn char(c: char) -> Self {
        Self::plain(Code::Char(c))
    }

    /// Reads a name as written in the keymap: `X`, `enter`, `ctrl-s`, `f1`.
    pub fn parse(name: &str) -> Option<Self> {
        let (mut rest, mut ctrl, mut alt) = (name, false, false);
        loop {
            if let Some(after) = rest.strip_prefix("ctrl-") {
                (rest, ctrl) = (after, true);
            } else if let Some(after) = rest.strip_prefix("alt-") {
                (rest, alt) = (after, true);
            } else {
                break;
            }
        }
        let mut characters = rest.chars();
        if let (Some(only), None) = (characters.next(), characters.next()) {
            return Some(Self { code: Code::Char(only), ctrl, alt });
        }
        if let Some((_, code)) = NAMES.iter().find(|(known, _)| *known == rest) {
            return Some(Self { code: *code, ctrl, alt });
        }
        let number = rest.strip_prefix('f')?.parse().ok()?;
        (1..=12).contains(&number).then_some(Self { code: Code::Function(number), ctrl, alt })
    }
}

impl fmt::Display for Key {
    /// Writes the key as a hint shows it: short, with arrows for arrows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ctrl {
            f.write_str("^")?;
        }
        if self.alt {
            f.write_str("alt-")?;
        }
        match self.code {
            Code::Char(' ') => f.write_str("space"),
            Code::Char(c) if self.ctrl => write!(f, "{}", c.to_ascii_uppercase()),
            Code::Char(c) => write!(f, "{c}"),
            Code::Enter => f.write_str("enter"),
            Code::Esc => f.write_str("esc"),
            Code::Tab => f.write_str("tab"),
            Code::BackTab => f.write_str("shift-tab"),
            Code::Backspace => f.write_str("bksp"),
            Code::Delete => f.write_str("del"),
            Code::Up => f.write_str("↑"),
            Code::Down => f.write_str("↓"),
            Code::Left => f.write_str("←"),
            Code::Right => f.write_str("→"),
            Code::Home => f.write_str("home"),
            Code::End => f.write_str("end"),
            Code::PageUp => f.write_str("pgup"),
            Code::PageDown => f.write_str("pgdn"),
            Code::Function(n) => write!(f, "F{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_keys() {
        assert_eq!(Key::parse("X"), Some(Key::char('X')));
        assert_eq!(Key::parse("-"), Some(Key::char('-')));
        assert_eq!(
            Key::parse("ctrl-s"),
            Some(Key { code: Code::Char('s'), ctrl: true, alt: false })
        );
        assert_eq!(Key::parse("f1"), Some(Key::plain(Code::Function(1))));
        assert_eq!(Key::parse("f13"), None);
        assert_eq!(Key::parse("nonsense"), None);
    }
}
