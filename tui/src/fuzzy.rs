//! Fuzzy matching for the palette and for filters.
//!
//! All characters of the needle must occur in order, upper and lower case alike. The score
//! prefers runs, beginnings of words and early places, so that `kn2` finds `kill n2` first.

/// How well `needle` matches, higher is better; `None` if it does not.
pub fn score(needle: &str, text: &str) -> Option<i32> {
    let text: Vec<char> = text.chars().collect();
    let mut total = 0;
    let mut from = 0;
    let mut last: Option<usize> = None;
    for wanted in needle.chars().filter(|c| !c.is_whitespace()) {
        let at = best(&text, from, wanted, last)?;
        total += place(&text, at, last);
        last = Some(at);
        from = at + 1;
    }
    Some(total - (text.len() as i32) / 8)
}

/// The next occurrence: directly after the last match if possible, else at the beginning of
/// a word, else anywhere.
fn best(text: &[char], from: usize, wanted: char, last: Option<usize>) -> Option<usize> {
    let same = |c: char| c.to_lowercase().eq(wanted.to_lowercase());
    if last.is_some() && text.get(from).is_some_and(|c| same(*c)) {
        return Some(from);
    }
    let mut first = None;
    for (at, c) in text.iter().enumerate().skip(from) {
        if same(*c) {
            if begins_word(text, at) {
                return Some(at);
            }
            first = first.or(Some(at));
        }
    }
    first
}

fn place(text: &[char], at: usize, last: Option<usize>) -> i32 {
    let run = if last.is_some_and(|last| last + 1 == at) { 8 } else { 0 };
    let word = if begins_word(text, at) { 6 } else { 0 };
    let start = if at == 0 { 6 } else { 0 };
    1 + run + word + start
}

fn begins_word(text: &[char], at: usize) -> bool {
    at == 0 || !text[at - 1].is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters_and_case_does_not() {
        assert!(score("kn", "kill n2").is_some());
        assert!(score("KN", "kill n2").is_some());
        assert!(score("nk", "kill n2").is_none());
        assert!(score("", "anything").is_some());
    }

    #[test]
    fn beginnings_beat_the_middle() {
        assert!(score("kn2", "kill n2") > score("kn2", "token 12 knx2"));
        assert!(score("key", "keys") > score("key", "monkey"));
        assert!(score("st", "start n1") > score("st", "restart n1"));
    }
}
