//! The drills that come with the program. They are files like everybody's own, only compiled in.

use super::format::{Drill, FormatError};

macro_rules! files {
    ($($id:literal),+ $(,)?) => {
        /// File name and text of every built-in drill.
        const FILES: &[(&str, &str)] = &[$((
            concat!($id, ".toml"),
            include_str!(concat!("../../../assets/drills/", $id, ".toml")),
        )),+];
    };
}

files!(
    "add-before-remove",
    "bridge",
    "bridge-of-five",
    "clock-jump",
    "configuration",
    "corrupt-follower",
    "disk-full",
    "election",
    "even-size",
    "flapping-link",
    "grow-with-learners",
    "isolate-follower",
    "isolate-leader",
    "kill-all",
    "kill-follower",
    "kill-leader",
    "kill-majority",
    "lagging-follower",
    "leader-deaf",
    "leader-mute",
    "lease-and-leader",
    "lock-with-fencing",
    "lock-without-fencing",
    "lost-data",
    "move-leader",
    "no-pre-vote",
    "one-way-follower",
    "pause-leader",
    "quota",
    "remove-leader",
    "replace-dead",
    "restore",
    "restore-onward",
    "rolling-restart",
    "service-discovery",
    "stop-leader",
    "wide-area",
    "wrong-token"
);

/// All built-in drills, in the order of the catalogue.
///
/// # Errors
/// A file that is wrong, which a test rules out.
pub fn all() -> Result<Vec<Drill>, FormatError> {
    let drills = FILES.iter().map(|(file, text)| Drill::parse(file, text));
    let mut drills: Vec<Drill> = drills.collect::<Result<_, _>>()?;
    drills.sort_by_key(|drill| drill.number);
    Ok(drills)
}

/// The text of a built-in drill.
pub fn text(id: &str) -> Option<&'static str> {
    FILES.iter().find(|(file, _)| file.strip_suffix(".toml") == Some(id)).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drill_is_right_and_has_a_number_of_its_own() {
        let drills = all().unwrap();
        assert_eq!(drills.len(), FILES.len());
        for pair in drills.windows(2) {
            assert!(pair[0].number < pair[1].number, "{} and {}", pair[0].id, pair[1].id);
        }
        for drill in &drills {
            let text = text(&drill.id).unwrap_or_else(|| panic!("{} has another file", drill.id));
            assert!(text.starts_with('#'), "{}: the first line says what it is", drill.id);
            let rows = drill.steps.iter().filter(|step| step.says.is_some()).count();
            assert!(rows + drill.expectations.len() >= 2, "{} expects too little", drill.id);
            assert!(drill.teaches.len() > 80, "{} teaches something", drill.id);
        }
    }

    #[test]
    fn every_file_of_the_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/drills");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".toml"))
            .collect();
        files.sort();
        let mut built_in: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        built_in.sort_unstable();
        assert_eq!(files, built_in);
    }
}
