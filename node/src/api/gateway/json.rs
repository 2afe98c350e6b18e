//! JSON as etcd's gateway reads it, made into JSON that has one meaning only.
//!
//! Protobuf's own mapping is strict where our library for it is not, and the other way round:
//! a whole number may be written as text and as `1e2`, but not as `"+1"` or `"01"`, and what a
//! 64-bit number cannot hold is refused, not rounded. A field that is named twice is refused,
//! an unknown one is left out. All else is the library's business ([`super::schema`]).

use std::collections::BTreeSet;
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// 2^63 and 2^64: the first numbers that do not fit.
const SIGNED_END: f64 = 9_223_372_036_854_775_808.0;
const UNSIGNED_END: f64 = 18_446_744_073_709_551_616.0;

/// The object of a message, with each field once and whole numbers as such.
pub fn read(text: &[u8], message: &MessageDescriptor) -> Result<Value, String> {
    let raw: Raw = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    of_message(raw, message)
}

/// JSON with its fields in order, however often one is named.
enum Raw {
    Plain(Value),
    List(Vec<Raw>),
    Object(Vec<(String, Raw)>),
}

fn of_message(raw: Raw, message: &MessageDescriptor) -> Result<Value, String> {
    let rows = match raw {
        Raw::Object(rows) => rows,
        other => return Ok(plain(other)),
    };
    let mut object = Map::new();
    let mut named = BTreeSet::new();
    for (name, raw) in rows {
        let field = message.get_field_by_name(&name);
        let Some(field) = field.or_else(|| message.get_field_by_json_name(&name)) else { continue };
        if !named.insert(field.number()) {
            return Err(format!("duplicate field {name:?}"));
        }
        let value = of_field(raw, &field)?;
        object.insert(name, value);
    }
    Ok(Value::Object(object))
}

fn of_field(raw: Raw, field: &FieldDescriptor) -> Result<Value, String> {
    match raw {
        Raw::List(all) if field.is_list() => all
            .into_iter()
            .map(|one| of_kind(one, field))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        other => of_kind(other, field),
    }
}

fn of_kind(raw: Raw, field: &FieldDescriptor) -> Result<Value, String> {
    match (field.kind(), raw) {
        (Kind::Message(message), raw) => of_message(raw, &message),
        (
            Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64,
            Raw::Plain(value @ (Value::Number(_) | Value::String(_))),
        )
        | (Kind::Enum(_), Raw::Plain(value @ Value::Number(_))) => whole(&value)
            .map(Value::Number)
            .ok_or_else(|| format!("invalid value for field {}: {value}", field.name())),
        // All of its padding or none.
        (Kind::Bytes, Raw::Plain(Value::String(text)))
            if text.len() % 4 != 0 && text.contains('=') =>
        {
            Err(format!("invalid value for field {}: {text:?}", field.name()))
        }
        (_, raw) => Ok(plain(raw)),
    }
}

/// A whole number, if the value is one and fits 64 bits.
fn whole(value: &Value) -> Option<Number> {
    let number = match value {
        Value::Number(number) => number.clone(),
        // What is in the quotes is a number of JSON, without a space around it.
        Value::String(text) if !text.contains(|letter: char| letter.is_ascii_whitespace()) => {
            serde_json::from_str(text).ok()?
        }
        _ => return None,
    };
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else { return Some(number) };
    if float.fract() != 0.0 {
        return None;
    }
    // Both casts are exact for a whole number within the limits.
    match float {
        float if (-SIGNED_END..SIGNED_END).contains(&float) && !is_rounded(float) => {
            Some((float as i64).into())
        }
        float if (0.0..UNSIGNED_END).contains(&float) && !is_rounded(float) => {
            Some((float as u64).into())
        }
        _ => None,
    }
}

/// The least 64-bit number comes as a float only when less was written.
fn is_rounded(float: f64) -> bool {
    float == -SIGNED_END
}

/// What is no message stays as it is.
fn plain(raw: Raw) -> Value {
    match raw {
        Raw::Plain(value) => value,
        Raw::List(all) => Value::Array(all.into_iter().map(plain).collect()),
        Raw::Object(rows) => {
            Value::Object(rows.into_iter().map(|(name, raw)| (name, plain(raw))).collect())
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Plain(Value::Null))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(truth.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Raw, E> {
        let number = Number::from_f64(number).ok_or_else(|| E::custom("no finite number"))?;
        Ok(Raw::Plain(Value::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Plain(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Plain(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Raw::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<Raw, A::Error> {
        let mut all = Vec::new();
        while let Some(row) = rows.next_entry()? {
            all.push(row);
        }
        Ok(Raw::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::gateway::schema::schema;

    fn range(text: &str) -> Result<Value, String> {
        let method = schema().method("etcdserverpb.KV/Range").unwrap();
        read(text.as_bytes(), &method.input())
    }

    #[test]
    fn whole_numbers_have_many_spellings() {
        for (text, number) in [
            ("1", 1),
            ("\"1\"", 1),
            ("1.0", 1),
            ("\"1.0\"", 1),
            ("1e2", 100),
            ("\"100e-2\"", 1),
            ("-0", 0),
            ("\"-7\"", -7),
            ("9223372036854775807", i64::MAX),
            ("\"-9223372036854775808\"", i64::MIN),
        ] {
            let read = range(&format!("{{\"limit\":{text}}}")).unwrap();
            assert_eq!(read["limit"].as_i64(), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for text in [
            "\"+1\"",
            "\"01\"",
            "\" 1\"",
            "\"1 \"",
            "\"\"",
            "\"x\"",
            "\"0x1\"",
            "\"1.5\"",
            "1.5",
            "1e300",
            "-9223372036854775809",
            "18446744073709551616",
            "\"-9223372036854775809\"",
        ] {
            range(&format!("{{\"limit\":{text}}}")).expect_err(text);
        }
        range("{\"sort_order\":1.5}").expect_err("half a choice");
    }

    #[test]
    fn bytes_are_padded_or_not() {
        for text in ["YQ==", "YQ", "YWI=", "YWJj", ""] {
            range(&format!("{{\"key\":\"{text}\"}}")).expect(text);
        }
        for text in ["YQ=", "YQ===", "="] {
            range(&format!("{{\"key\":\"{text}\"}}")).expect_err(text);
        }
    }

    #[test]
    fn a_field_stands_there_once_and_unknown_ones_do_not_count() {
        for text in [
            r#"{"key":"YQ==","key":"YQ=="}"#,
            r#"{"range_end":"YQ==","rangeEnd":"YQ=="}"#,
            r#"{"limit":null,"limit":1}"#,
        ] {
            range(text).expect_err(text);
        }
        let read = range(r#"{"x":1,"x":{"y":[null]},"key":"YQ=="}"#).unwrap();
        assert_eq!(read, serde_json::json!({ "key": "YQ==" }));
    }
}
