//! Colours by role, read from `assets/themes/*.toml`.
//!
//! The view names what a text *is* (good, selected, a border); the theme says how that
//! looks. State is never told by colour alone: glyph and word carry it, so the `mono` theme
//! loses nothing but looks.

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Text,
    Dim,
    Title,
    Accent,
    Good,
    Warn,
    Bad,
    Selected,
    Changed,
    Border,
    BorderFocus,
    Key,
    TabOn,
    Directory,
    Chart,
    ChartOther,
    Button,
    ButtonOn,
    Input,
    Node,
}

/// Every role, its name in a theme file, and its letter in the tests' style maps.
pub const ROLES: [(Role, &str, char); 20] = [
    (Role::Text, "text", '.'),
    (Role::Dim, "dim", 'd'),
    (Role::Title, "title", 't'),
    (Role::Accent, "accent", 'a'),
    (Role::Good, "good", 'g'),
    (Role::Warn, "warn", 'w'),
    (Role::Bad, "bad", 'b'),
    (Role::Selected, "selected", 's'),
    (Role::Changed, "changed", 'c'),
    (Role::Border, "border", '-'),
    (Role::BorderFocus, "border_focus", '='),
    (Role::Key, "key", 'k'),
    (Role::TabOn, "tab_on", 'T'),
    (Role::Directory, "directory", 'D'),
    (Role::Chart, "chart", 'x'),
    (Role::ChartOther, "chart_other", 'y'),
    (Role::Button, "button", 'u'),
    (Role::ButtonOn, "button_on", 'U'),
    (Role::Input, "input", 'i'),
    (Role::Node, "node", 'n'),
];

#[derive(Clone, Debug)]
pub struct Theme {
    styles: [Style; ROLES.len()],
}

#[derive(Debug, thiserror::Error)]
pub enum ThemeError {
    #[error("there is no theme `{0}`: choose ansi, dark, light or mono")]
    Unknown(String),
    #[error("the theme cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("the theme has no `{0}`")]
    Missing(&'static str),
    #[error("`{0}` is not a colour")]
    Colour(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Look {
    fg: Option<String>,
    bg: Option<String>,
    bold: bool,
    dim: bool,
    underlined: bool,
    reversed: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self { styles: [Style::new(); ROLES.len()] }
    }
}

impl Theme {
    /// One of the themes that ship with the program.
    pub fn named(name: &str) -> Result<Self, ThemeError> {
        Self::parse(match name {
            "ansi" => include_str!("../../assets/themes/ansi.toml"),
            "dark" => include_str!("../../assets/themes/dark.toml"),
            "light" => include_str!("../../assets/themes/light.toml"),
            "mono" => include_str!("../../assets/themes/mono.toml"),
            _ => return Err(ThemeError::Unknown(name.to_owned())),
        })
    }

    pub fn parse(text: &str) -> Result<Self, ThemeError> {
        let looks: std::collections::BTreeMap<String, Look> = toml::from_str(text)?;
        let mut theme = Self::default();
        for (index, (_, name, _)) in ROLES.iter().enumerate() {
            let look = looks.get(*name).ok_or(ThemeError::Missing(name))?;
            theme.styles[index] = style(look)?;
        }
        Ok(theme)
    }

    /// A theme in which every role looks different, for tests that check roles.
    #[cfg(test)]
    pub fn distinct() -> Self {
        let mut theme = Self::default();
        for (index, style) in theme.styles.iter_mut().enumerate() {
            *style = Style::new().fg(Color::Indexed(index as u8 + 16));
        }
        theme
    }

    pub fn style(&self, role: Role) -> Style {
        let index = ROLES.iter().position(|(known, ..)| *known == role);
        index.map_or_else(Style::new, |index| self.styles[index])
    }
}

fn style(look: &Look) -> Result<Style, ThemeError> {
    let colour = |name: &Option<String>| match name {
        None => Ok(Color::Reset),
        Some(name) => name.parse().map_err(|_| ThemeError::Colour(name.clone())),
    };
    let mut style = Style::new().fg(colour(&look.fg)?).bg(colour(&look.bg)?);
    for (on, modifier) in [
        (look.bold, Modifier::BOLD),
        (look.dim, Modifier::DIM),
        (look.underlined, Modifier::UNDERLINED),
        (look.reversed, Modifier::REVERSED),
    ] {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    Ok(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_theme_names_every_role() {
        for name in ["ansi", "dark", "light", "mono"] {
            Theme::named(name).expect(name);
        }
        assert!(matches!(Theme::named("neon"), Err(ThemeError::Unknown(_))));
    }

    #[test]
    fn mono_uses_no_colour() {
        let theme = Theme::named("mono").expect("mono");
        for (role, name, _) in ROLES {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (Some(Color::Reset), Some(Color::Reset)), "{name}");
        }
    }
}
