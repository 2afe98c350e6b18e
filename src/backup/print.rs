//! The status of a snapshot in the formats of etcdutl, byte for byte.

use node::backup::Status;
use node::spelling;

use super::arguments::Format;

/// See the module.
pub fn status(status: &Status, format: Format) -> String {
    let Status { hash, revision, total_keys, total_size, version } = status;
    let size = spelling::bytes(*total_size);
    match format {
        Format::Simple => {
            format!("{hash:x}, {revision}, {total_keys}, {size}, {version}\n")
        }
        Format::Fields => format!(
            "\"Hash\" : {hash}\n\"Revision\" : {revision}\n\"Keys\" : {total_keys}\n\"Size\" : {total_size}\n\"Version\" : {version}\n"
        ),
        Format::Json => {
            let version = serde_json::Value::from(version.as_str());
            format!(
                "{{\"hash\":{hash},\"revision\":{revision},\"totalKey\":{total_keys},\"totalSize\":{total_size},\"version\":{version}}}\n"
            )
        }
        Format::Table => table(
            &["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"],
            &[&format!("{hash:x}"), &revision.to_string(), &total_keys.to_string(), &size, version],
        ),
    }
}

/// One row under a heading, in a frame; headings stand in the middle, the rest to
/// the right.
fn table(heading: &[&str], row: &[&str]) -> String {
    let widths: Vec<usize> = heading.iter().zip(row).map(|(a, b)| a.len().max(b.len())).collect();
    let rule: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
    let heading: String =
        heading.iter().zip(&widths).map(|(cell, width)| format!("| {cell:^width$} ")).collect();
    let row: String =
        row.iter().zip(&widths).map(|(cell, width)| format!("| {cell:>width$} ")).collect();
    format!("{rule}+\n{heading}|\n{rule}+\n{row}|\n{rule}+\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_those_of_etcdutl() {
        let seen = Status {
            hash: 0xab12,
            revision: 5,
            total_keys: 3,
            total_size: 20_480,
            version: "3.6.0".into(),
        };
        assert_eq!(status(&seen, Format::Simple), "ab12, 5, 3, 20 kB, 3.6.0\n");
        let json = "{\"hash\":43794,\"revision\":5,\"totalKey\":3,\"totalSize\":20480,\"version\":\"3.6.0\"}\n";
        assert_eq!(status(&seen, Format::Json), json);
    }
}
