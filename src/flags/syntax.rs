//! From words to settings, the way Go's `flag` package reads them.
//!
//! `-x` is `--x`; a value follows `=` or is the next word, except for booleans, whose bare
//! form means true (so `--pre-vote false` is a stray word, as in etcd). The last of several
//! wins. A flag wins over its `ETCD_` variable. The first word that is no flag ends the
//! flags, and etcd refuses it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::groups::{SECTIONS, legacy};
use super::table::{self, Flag, Kind, Section};
use super::{FlagError, values};

/// Where a value came from, for the sentence about a bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

/// Raw values by flag name, and what is worth a warning.
#[derive(Debug)]
pub struct Settings {
    /// The flags there are.
    sections: &'static [Section],
    /// A word that has to stand among the flags, and whether it does.
    command: Option<(&'static str, bool)>,
    given: BTreeMap<&'static str, (Origin, String)>,
    /// The configuration file that all values are from.
    file: Option<String>,
    pub warnings: Vec<String>,
}

/// What the words ask for before any value is looked at.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Run,
    Help,
}

impl Default for Settings {
    fn default() -> Self {
        Settings::of(SECTIONS)
    }
}

impl Settings {
    /// Nothing given yet of these flags.
    pub fn of(sections: &'static [Section]) -> Settings {
        let (given, warnings) = (BTreeMap::new(), Vec::new());
        Settings { sections, command: None, given, file: None, warnings }
    }

    /// The same, with a word that has to stand among the flags.
    pub fn with_command(self, command: &'static str) -> Settings {
        Settings { command: Some((command, false)), ..self }
    }

    /// Whether the word that has to be there is.
    pub fn is_commanded(&self) -> bool {
        self.command.is_none_or(|(_, seen)| seen)
    }

    /// Whether a word that is no flag has its place here.
    fn takes(&mut self, word: &str) -> bool {
        match &mut self.command {
            Some((command, seen)) if word == *command => !std::mem::replace(seen, true),
            _ => false,
        }
    }

    /// Settings that a configuration file decides.
    pub fn of_file(path: &str) -> Settings {
        Settings { file: Some(path.to_owned()), ..Settings::default() }
    }

    /// The configuration file in force.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Sets a flag's value; the last one wins, but lists grow.
    fn give_flag(&mut self, flag: &Flag, value: String) {
        let value = match self.given.get(flag.name) {
            Some((Origin::Flag, earlier)) if flag.kind == Kind::List => {
                format!("{earlier},{value}")
            }
            _ => value,
        };
        self.give(flag.name, Origin::Flag, value);
    }

    /// Sets a value; the last one wins.
    pub fn give(&mut self, name: &'static str, origin: Origin, value: String) {
        self.given.insert(name, (origin, value));
    }

    /// Takes a value out.
    pub fn take(&mut self, name: &str) -> Option<(Origin, String)> {
        self.given.remove(name)
    }

    /// The value in force and where it is from.
    pub fn value(&self, name: &str) -> (Origin, &str) {
        match self.given.get(name) {
            Some((origin, value)) => (origin.clone(), value),
            None => {
                let flag = table::find_in(self.sections, name);
                (Origin::Default, flag.map_or("", |flag| flag.default))
            }
        }
    }

    pub fn text(&self, name: &str) -> &str {
        self.value(name).1
    }

    /// Whether the user said anything about it.
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// What stands between commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let parts = self.text(name).split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    pub fn boolean(&self, name: &str) -> Result<bool, FlagError> {
        values::boolean(self.text(name)).map_err(|reason| self.invalid(name, reason))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, FlagError> {
        let text = self.text(name);
        text.parse().map_err(|_| self.invalid(name, "not a number in range".into()))
    }

    pub fn duration(&self, name: &str) -> Result<Duration, FlagError> {
        values::duration(self.text(name)).map_err(|reason| self.invalid(name, reason))
    }

    /// A value that has the form its flag asks for.
    fn check(&self, flag: &Flag) -> Result<(), FlagError> {
        match flag.kind {
            _ if legacy::is_ignored(flag.name) => Ok(()),
            Kind::Text | Kind::List => Ok(()),
            Kind::Boolean => self.boolean(flag.name).map(drop),
            Kind::Number => self.number::<i128>(flag.name).map(drop),
            Kind::Duration => self.duration(flag.name).map(drop),
        }
    }

    /// Checks the form of every value that was given.
    pub fn check_all(&self) -> Result<(), FlagError> {
        let mut given = table::flags_of(self.sections).filter(|flag| self.is_given(flag.name));
        given.try_for_each(|flag| self.check(flag))
    }

    /// The error for a value of `name` that cannot be used.
    pub fn invalid(&self, name: &str, reason: String) -> FlagError {
        let (origin, value) = self.value(name);
        let (origin, exit_code) = match origin {
            Origin::Flag | Origin::Default => (format!("flag -{name}"), 2),
            Origin::Environment => (table::variable(name), 1),
            Origin::File => (format!("{name} in {}", self.file.as_deref().unwrap_or("?")), 1),
        };
        FlagError::InvalidValue { origin, value: value.into(), reason, exit_code }
    }
}

/// Reads the command line into `settings`.
pub fn read_words(words: &[String], settings: &mut Settings) -> Result<Wanted, FlagError> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(body) = flag_body(word) else {
            if settings.takes(word) {
                continue;
            }
            return Err(FlagError::NotAFlag { word: word.clone() });
        };
        if body.is_empty() {
            // `--` ends the flags; etcd takes no other arguments.
            return match words.next() {
                Some(word) => Err(FlagError::NotAFlag { word: word.clone() }),
                None => Ok(Wanted::Run),
            };
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (body, None),
        };
        if name == "help" || name == "h" {
            return Ok(Wanted::Help);
        }
        let flag = table::find_in(settings.sections, name)
            .ok_or_else(|| FlagError::Unknown { flag: name.into() })?;
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Boolean) => "true".into(),
            (None, _) => words
                .next()
                .cloned()
                .ok_or_else(|| FlagError::MissingValue { flag: name.into() })?,
        };
        settings.give_flag(flag, value);
    }
    Ok(Wanted::Run)
}

/// `--x` and `-x` → `x`; `--` → empty; anything else (also `-` and `---x`) is no flag.
fn flag_body(word: &str) -> Option<&str> {
    let body = match word.strip_prefix("--") {
        Some(body) => body,
        None => word.strip_prefix('-').filter(|body| !body.is_empty())?,
    };
    (!body.starts_with('-') && !body.starts_with('=')).then_some(body)
}

/// Adds what `ETCD_` variables say where no flag has spoken.
pub fn read_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    settings: &mut Settings,
) {
    let mut variables: Vec<_> = environment.into_iter().filter(|(name, _)| is_ours(name)).collect();
    variables.sort();
    for (variable, value) in variables {
        // `--version` is no setting, and etcd's own test for it would end every start.
        if variable == "ETCD_VERSION" {
            settings
                .warnings
                .push(format!("cannot set special environment variable {variable}={value}"));
            continue;
        }
        let Some(flag) = table::flags().find(|flag| table::variable(flag.name) == variable) else {
            settings.warnings.push(format!("unrecognized environment variable {variable}={value}"));
            continue;
        };
        // As in etcd, an empty variable is one that was not set.
        if value.is_empty() {
            continue;
        }
        if settings.is_given(flag.name) {
            settings.warnings.push(format!(
                "environment variable {variable}={value} is shadowed by --{}",
                flag.name
            ));
            continue;
        }
        settings.give(flag.name, Origin::Environment, value);
    }
}

/// Variables of the launcher (`ETCD_TUI_…`) share the prefix but are not the node's.
fn is_ours(variable: &str) -> bool {
    variable.starts_with("ETCD_") && !variable.starts_with("ETCD_TUI_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<(Wanted, Settings), FlagError> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        let mut settings = Settings::default();
        let wanted = read_words(&words, &mut settings)?;
        Ok((wanted, settings))
    }

    fn name_of(words: &[&str]) -> String {
        read(words).unwrap().1.text("name").to_string()
    }

    #[test]
    fn a_value_follows_an_equal_sign_or_is_the_next_word() {
        for words in [&["--name=a"][..], &["--name", "a"], &["-name", "a"], &["-name=a"]] {
            assert_eq!(name_of(words), "a", "{words:?}");
        }
        assert_eq!(name_of(&["--name="]), "");
        assert_eq!(name_of(&["--name=a=b"]), "a=b");
        assert_eq!(name_of(&["--name", "--pre-vote"]), "--pre-vote");
    }

    #[test]
    fn the_last_one_wins() {
        assert_eq!(name_of(&["--name=a", "--name", "b", "-name=c"]), "c");
    }

    #[test]
    fn booleans_take_no_separate_value() {
        let (_, settings) = read(&["--pre-vote=false", "--force-new-cluster"]).unwrap();
        assert_eq!(settings.boolean("pre-vote"), Ok(false));
        assert_eq!(settings.boolean("force-new-cluster"), Ok(true));
        assert_eq!(
            read(&["--pre-vote", "false"]).unwrap_err(),
            FlagError::NotAFlag { word: "false".into() }
        );
        let (_, settings) = read(&["--pre-vote=maybe"]).unwrap();
        assert!(settings.boolean("pre-vote").is_err());
    }

    #[test]
    fn words_that_are_no_flags_are_refused() {
        for word in ["etcd", "-", "---name=a", "--=a"] {
            assert_eq!(
                read(&[word]).unwrap_err(),
                FlagError::NotAFlag { word: word.into() },
                "{word}"
            );
        }
        assert_eq!(read(&["--", "x"]).unwrap_err(), FlagError::NotAFlag { word: "x".into() });
        assert_eq!(read(&["--"]).unwrap().0, Wanted::Run);
        assert_eq!(read(&["--bogus=1"]).unwrap_err(), FlagError::Unknown { flag: "bogus".into() });
        assert_eq!(read(&["--name"]).unwrap_err(), FlagError::MissingValue { flag: "name".into() });
    }

    #[test]
    fn help_wins_over_whatever_follows_it() {
        for word in ["-h", "--help", "-help", "--h"] {
            assert_eq!(read(&[word, "--bogus"]).unwrap().0, Wanted::Help);
        }
    }

    #[test]
    fn a_flag_wins_over_its_variable_and_says_so() {
        let (_, mut settings) = read(&["--name=flag"]).unwrap();
        let variables = [
            ("ETCD_NAME", "variable"),
            ("ETCD_DATA_DIR", "/d"),
            ("ETCD_WAL_DIR", ""),
            ("ETCD_BOGUS", "1"),
            ("ETCD_TUI_HOME", "/h"),
            ("ETCDCTL_API", "3"),
        ];
        let variables = variables.map(|(name, value)| (name.to_string(), value.to_string()));
        read_environment(variables, &mut settings);
        assert_eq!(settings.text("name"), "flag");
        assert_eq!(settings.value("data-dir"), (Origin::Environment, "/d"));
        assert!(!settings.is_given("wal-dir"));
        assert_eq!(
            settings.warnings,
            [
                "unrecognized environment variable ETCD_BOGUS=1",
                "environment variable ETCD_NAME=variable is shadowed by --name",
            ]
        );
    }

    #[test]
    fn a_bad_value_is_blamed_on_where_it_was_said() {
        let (_, mut settings) = read(&[]).unwrap();
        let variable = ("ETCD_MAX_TXN_OPS".to_string(), "many".to_string());
        read_environment([variable], &mut settings);
        let error = settings.number::<u32>("max-txn-ops").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid value \"many\" for ETCD_MAX_TXN_OPS: not a number in range"
        );
        assert_eq!(error.exit_code(), 1);
    }
}
