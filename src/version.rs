//! The version this program answers with.
//!
//! The number is the etcd version whose API and behaviour the node follows, because that is
//! what clients and operators decide by; the program's own version is in `Cargo.toml`.

/// The etcd version the API follows.
pub const ETCD_VERSION: &str = "3.6.6";

/// etcd's four lines of `--version`. Scripts read them by line and by label, so the labels
/// stay although there is no Go here; the values tell the truth.
pub fn version_lines() -> String {
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: Not provided (etcd-tui {})\nGo Version: none (Rust {})\nGo OS/Arch: {}/{}\n",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_RUST_VERSION"),
        std::env::consts::OS,
        go_architecture(std::env::consts::ARCH),
    )
}

/// Go's name of an architecture.
fn go_architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_lines_have_etcds_labels() {
        let lines = version_lines();
        let labels: Vec<_> = lines.lines().filter_map(|line| line.split_once(": ")).collect();
        let names: Vec<_> = labels.iter().map(|(label, _)| *label).collect();
        assert_eq!(names, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
        assert_eq!(labels[0].1, "3.6.6");
    }

    #[test]
    fn architectures_are_named_as_in_go() {
        assert_eq!(go_architecture("x86_64"), "amd64");
        assert_eq!(go_architecture("riscv64"), "riscv64");
    }
}
