//! Histories with known verdicts: recorded from a correct store in memory, and the same ones
//! after something was done to them that no correct store does.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod forged;
mod search;
mod store;

use crate::record::History;
use crate::{Verdict, check};
use proptest::prelude::*;
use store::{Script, record};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever a correct store answers, however late, is judged safe.
    #[test]
    fn a_correct_store_is_safe(script in Script::any()) {
        let history = record(&script);
        let report = check(&history);
        prop_assert!(report.violations.is_empty(), "{report}\n{history:#?}");
        prop_assert!(report.undecided.is_empty(), "{report}");
    }

    /// What is written can be read, and is judged the same.
    #[test]
    fn a_history_survives_its_file(script in Script::any()) {
        let history = record(&script);
        let mut file = Vec::new();
        history.write(&mut file).unwrap();
        prop_assert_eq!(History::read(&mut file.as_slice()).unwrap(), history);
    }
}

#[test]
fn nothing_observed_is_no_evidence() {
    assert_eq!(check(&History::default()).verdict(), Verdict::Undecided);
}

#[test]
fn a_line_that_is_no_history_is_named() {
    let file = b"{\"start\":{\"revision\":1,\"pairs\":[]}}\n{\"nonsense\":1}\n";
    let error = History::read(&mut file.as_slice()).unwrap_err();
    assert!(error.to_string().starts_with("line 2 of the history"), "{error}");
}
