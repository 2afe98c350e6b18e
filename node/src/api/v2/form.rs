//! The parameters of a v2 request, from its query and its form, read as Go reads them: what
//! is malformed is told in Go's words, for these are what etcd answers with.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};

use crate::v2::{Code, Error};

/// Largest form; Go's number.
pub const FORM_BYTES_MAX: usize = 10 << 20;

/// Parameters in order: those of the form come before those of the query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads query and body.
    pub fn parse(head: &Parts, body: &Bytes) -> Result<Self, Error> {
        let mut pairs = Vec::new();
        let of_form = [Method::PUT, Method::POST, Method::PATCH].contains(&head.method)
            && is_form(head.headers.get(header::CONTENT_TYPE));
        let first = if of_form { parse_pairs(body, &mut pairs) } else { Ok(()) };
        let query = head.uri.query().unwrap_or_default();
        let second = parse_pairs(query.as_bytes(), &mut pairs);
        first.and(second).map_err(|cause| Error::form(Code::InvalidForm, cause))?;
        Ok(Self(pairs))
    }

    /// The first value of a parameter, if it is there at all.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, "" without one.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// A truth value; absent is `None`, and anything but Go's spellings is an error.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ()> {
        match self.get(name) {
            None => Ok(None),
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(Some(false)),
            Some(_) => Err(()),
        }
    }

    /// A number; absent is 0.
    pub fn number(&self, name: &str) -> Result<u64, ()> {
        let Some(text) = self.get(name) else { return Ok(0) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits).ok_or(())
    }
}

fn is_form(kind: Option<&header::HeaderValue>) -> bool {
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let media = kind.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

fn parse_pairs(text: &[u8], pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    let mut result = Ok(());
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pair.contains(&b';') {
            result = Err("invalid semicolon separator in query".to_owned());
            continue;
        }
        let at = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = at.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
        match (unescape(name, true), unescape(value, true)) {
            (Ok(name), Ok(value)) => pairs.push((name, value)),
            (Err(cause), _) | (_, Err(cause)) => result = result.and(Err(cause)),
        }
    }
    result
}

/// Undoes percent encoding. Bytes that are no UTF-8 become U+FFFD, one each, as they do when
/// etcd answers with them.
pub fn unescape(text: &[u8], plus_is_space: bool) -> Result<String, String> {
    let hex = |at: usize| text.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'%' => {
                let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2)) else {
                    let bad = String::from_utf8_lossy(&text[at..text.len().min(at + 3)]);
                    return Err(format!("invalid URL escape \"{bad}\""));
                };
                // Two hexadecimal digits are a byte.
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Ok(lossy(out))
}

fn lossy(bytes: Vec<u8>) -> String {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error.into_bytes(),
    };
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| out.push(char::REPLACEMENT_CHARACTER));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(method: Method, query: &str, kind: &str, body: &'static str) -> Result<Form, Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/v2/keys/a?{query}"))
            .header(header::CONTENT_TYPE, kind);
        let (head, _) = request.body(()).unwrap().into_parts();
        Form::parse(&head, &Bytes::from_static(body.as_bytes()))
    }

    const KIND: &str = "Application/x-www-form-urlencoded; charset=utf-8";

    #[test]
    fn the_form_comes_before_the_query() {
        let both = form(Method::PUT, "value=q&dir=true", KIND, "value=a+b%26&ttl=").unwrap();
        assert_eq!(both.text("value"), "a b&");
        assert_eq!(both.boolean("dir"), Ok(Some(true)));
        assert_eq!((both.get("ttl"), both.get("prevExist")), (Some(""), None));
        let get = form(Method::GET, "value=q", KIND, "value=a").unwrap();
        assert_eq!(get.text("value"), "q");
        let json = form(Method::PUT, "", "application/json", "value=a").unwrap();
        assert_eq!(json.get("value"), None);
    }

    #[test]
    fn numbers_and_truth_values_are_gos() {
        let form =
            form(Method::GET, "a=12&b=&c=-1&d=%2B1&e=18446744073709551616&t=T&y=yes", "", "")
                .unwrap();
        assert_eq!((form.number("a"), form.number("none")), (Ok(12), Ok(0)));
        for bad in ["b", "c", "d", "e"] {
            assert_eq!(form.number(bad), Err(()), "{bad}");
        }
        assert_eq!(form.boolean("t"), Ok(Some(true)));
        assert_eq!((form.boolean("y"), form.boolean("b")), (Err(()), Err(())));
    }

    #[test]
    fn bad_escapes_are_told_in_gos_words() {
        let cause = |query: &str| form(Method::GET, query, "", "").unwrap_err().cause;
        assert_eq!(cause("a=%zz1"), "invalid URL escape \"%zz\"");
        assert_eq!(cause("a=%4"), "invalid URL escape \"%4\"");
        assert_eq!(cause("a;b"), "invalid semicolon separator in query");
        assert_eq!(cause("a=%x&b;c"), "invalid semicolon separator in query");
        assert_eq!(cause("b;c&a=%x"), "invalid semicolon separator in query");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_one_by_one() {
        assert_eq!(unescape(b"%ff%fe+%e2%82", false).unwrap(), "\u{fffd}\u{fffd}+\u{fffd}\u{fffd}");
        assert_eq!(unescape("%c3%A9é".as_bytes(), true).unwrap(), "éé");
    }
}
