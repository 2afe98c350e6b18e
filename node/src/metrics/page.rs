//! A page in Prometheus' text format.

use std::fmt::Write as _;

/// Families one after the other; a family's lines stand together, below its head.
#[derive(Default)]
pub struct Page(String);

impl Page {
    /// The two lines that begin a family.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub fn line(&mut self, series: &str, value: f64) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    /// One value that may go up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, value);
    }

    /// One value that only goes up.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "counter", help);
        self.line(name, value);
    }

    /// One value with labels each, given as `key="value",…`. A family without any is left
    /// out, as Prometheus' own libraries do.
    pub fn labelled(&mut self, name: &str, kind: &str, help: &str, rows: &[(String, f64)]) {
        if rows.is_empty() {
            return;
        }
        self.head(name, kind, help);
        for (labels, value) in rows {
            self.line(&format!("{name}{{{labels}}}"), *value);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// A label's value as it stands between quotes.
pub fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_cannot_break_a_line() {
        assert_eq!(escaped("3.6"), "3.6");
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
