//! The keymap: (mode, key) → action, read from `assets/keymap.toml`.
//!
//! The table is the only place that ties keys to actions; help and hint bar are generated
//! from it, so they cannot disagree with what a key does. Order in the file matters: the
//! first key of an action is the one shown. Text typed into a line never passes here unless
//! its key is bound in that overlay's mode.

use crate::action::Action;
use crate::key::Key;

/// Where a key was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Global,
    Cluster,
    Keys,
    Logs,
    Links,
    Drills,
    Learn,
    Prompt,
    Editor,
    Confirm,
    Palette,
    Help,
}

const MODES: [(&str, Mode); 12] = [
    ("global", Mode::Global),
    ("cluster", Mode::Cluster),
    ("keys", Mode::Keys),
    ("logs", Mode::Logs),
    ("links", Mode::Links),
    ("drills", Mode::Drills),
    ("learn", Mode::Learn),
    ("prompt", Mode::Prompt),
    ("editor", Mode::Editor),
    ("confirm", Mode::Confirm),
    ("palette", Mode::Palette),
    ("help", Mode::Help),
];

impl Mode {
    /// Whether keys that the mode does not bind fall through to `[global]`.
    fn is_screen(self) -> bool {
        matches!(
            self,
            Self::Cluster | Self::Keys | Self::Logs | Self::Links | Self::Drills | Self::Learn
        )
    }
}

/// One line of the keymap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    pub mode: Mode,
    pub key: Key,
    pub action: Action,
}

/// All bindings, in file order.
#[derive(Clone, Debug, Default)]
pub struct Keymap {
    bindings: Vec<Binding>,
}

/// What is wrong with a keymap file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeymapError {
    #[error("keymap line {0}: expected `\"key\" = \"action\"` or `[mode]`")]
    Syntax(usize),
    #[error("keymap line {0}: there is no mode `{1}`")]
    Mode(usize, String),
    #[error("keymap line {0}: there is no key `{1}`")]
    Key(usize, String),
    #[error("keymap line {0}: there is no action `{1}`")]
    Action(usize, String),
}

impl Keymap {
    /// The keymap that ships with the program; a test proves that it parses.
    pub fn builtin() -> Self {
        Self::parse(include_str!("../../assets/keymap.toml")).unwrap_or_default()
    }

    /// Reads the subset of TOML a keymap needs. A TOML table forgets the order of its keys,
    /// and order decides which key the hints show, so lines are read one by one.
    pub fn parse(text: &str) -> Result<Self, KeymapError> {
        let mut bindings = Vec::new();
        let mut mode = Mode::Global;
        for (index, line) in text.lines().enumerate() {
            let (line, number) = (line.trim(), index + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                mode = MODES
                    .iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, mode)| *mode)
                    .ok_or_else(|| KeymapError::Mode(number, name.to_owned()))?;
                continue;
            }
            let (key, action) = split_line(line).ok_or(KeymapError::Syntax(number))?;
            let parsed = Key::parse(key).ok_or_else(|| KeymapError::Key(number, key.to_owned()))?;
            let action = Action::by_name(action)
                .ok_or_else(|| KeymapError::Action(number, action.to_owned()))?;
            bindings.push(Binding { mode, key: parsed, action });
        }
        Ok(Self { bindings })
    }

    /// What `key` means in `mode`.
    pub fn action(&self, mode: Mode, key: Key) -> Option<Action> {
        let find = |wanted: Mode| {
            self.bindings.iter().find(|b| b.mode == wanted && b.key == key).map(|b| b.action)
        };
        find(mode).or_else(|| if mode.is_screen() { find(Mode::Global) } else { None })
    }

    /// The key to show for `action` in `mode`.
    pub fn key_for(&self, mode: Mode, action: Action) -> Option<Key> {
        let find = |wanted: Mode| {
            self.bindings.iter().find(|b| b.mode == wanted && b.action == action).map(|b| b.key)
        };
        find(mode).or_else(|| if mode.is_screen() { find(Mode::Global) } else { None })
    }

    /// The bindings of one mode with all keys of an action gathered, in file order.
    pub fn listing(&self, mode: Mode) -> Vec<(Vec<Key>, Action)> {
        let mut rows: Vec<(Vec<Key>, Action)> = Vec::new();
        for binding in self.bindings.iter().filter(|b| b.mode == mode) {
            match rows.iter_mut().find(|(_, action)| *action == binding.action) {
                Some((keys, _)) => keys.push(binding.key),
                None => rows.push((vec![binding.key], binding.action)),
            }
        }
        rows
    }
}

/// `"key" = "action"` → (key, action).
fn split_line(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('"')?;
    // The key may itself be a quote or an equals sign; the closing quote is the one before `=`.
    let end = rest.find("\" = \"")?;
    let action = rest[end + 5..].strip_suffix('"')?;
    Some((&rest[..end], action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_keymap_is_valid_toml_and_parses() {
        let text = include_str!("../../assets/keymap.toml");
        toml::from_str::<toml::Table>(text).expect("valid TOML without duplicate keys");
        let keymap = Keymap::parse(text).expect("valid keymap");
        assert_eq!(keymap.action(Mode::Cluster, Key::char('X')), Some(Action::Kill));
        assert_eq!(keymap.action(Mode::Cluster, Key::char('?')), Some(Action::Help));
        assert_eq!(keymap.action(Mode::Prompt, Key::char('?')), None, "typed, not a command");
    }

    #[test]
    fn every_bound_action_has_a_description() {
        let keymap = Keymap::builtin();
        for binding in &keymap.bindings {
            assert!(binding.action.describe().is_some(), "{binding:?}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        assert_eq!(
            Keymap::parse("[cluster]\n\"X\" = \"explode\"").unwrap_err(),
            KeymapError::Action(2, "explode".into())
        );
        assert_eq!(Keymap::parse("[moon]").unwrap_err(), KeymapError::Mode(1, "moon".into()));
        assert_eq!(Keymap::parse("X = kill").unwrap_err(), KeymapError::Syntax(1));
    }

    #[test]
    fn the_first_key_of_an_action_is_the_one_shown() {
        let keymap = Keymap::builtin();
        assert_eq!(
            keymap.key_for(Mode::Cluster, Action::Up),
            Key::parse("up"),
            "arrows before letters"
        );
    }
}
