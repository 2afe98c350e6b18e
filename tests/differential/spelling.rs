//! One request in many spellings of JSON, and in spellings that are wrong in one place.
//!
//! A spelling is a function of its seed and of the requests before, so two servers that are
//! asked the same are asked in the same words.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

/// What is put where it does not belong.
const WRONG: &[&str] = &[
    "true",
    "false",
    "null",
    "0",
    "1",
    "-1",
    "1.5",
    "\"\"",
    "\"x\"",
    "\"YQ\"",
    "\"a b\"",
    "[]",
    "{}",
    "[1]",
    "[null]",
    "[{}]",
    "{\"key\":1}",
    "\"1\"",
    "\"-1\"",
    "\"+1\"",
    "\" 1\"",
    "\"1 \"",
    "\"1.0\"",
    "\"1e2\"",
    "\"0x1\"",
    "\"01\"",
    "1.0",
    "1e2",
    "1E+2",
    "100e-2",
    "-0",
    "01",
    "+1",
    ".5",
    "1.",
    "NaN",
    "\"NaN\"",
    "9223372036854775807",
    "9223372036854775808",
    "\"9223372036854775808\"",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "2147483648",
    "\"true\"",
    "\"YQ==\\n\"",
    "\"Y\\u0051==\"",
    "\"\\ud800\"",
    "\"\\x\"",
    "'YQ=='",
    "undefined",
    "\"YQ=\"",
    "\"YQ===\"",
    "\"=\"",
    "\"+/8=\"",
    "\"-_8=\"",
    "\"-_8\"",
    "\"YR==\"",
    "\"DESCEND\"",
    "\"descend\"",
    "\"BOGUS\"",
    "77",
];

/// How the parser of a server reads what is not quite right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parser {
    /// As etcd 3.6 does.
    Lenient,
    /// As etcd before it: base64 has one alphabet and is padded, and whole numbers have no point.
    Strict,
}

/// Spells requests.
pub struct Spelling {
    random: StdRng,
    parser: Parser,
    /// Values until one is put wrong.
    wrong_in: Option<usize>,
}

impl Spelling {
    pub fn new(seed: u64, parser: Parser) -> Spelling {
        Spelling { random: StdRng::seed_from_u64(seed), parser, wrong_in: None }
    }

    pub fn coin(&mut self) -> bool {
        self.random.random()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.choose(&mut self.random).expect("not empty")
    }

    /// One of the paths below `/v3/`, in one of the ways to write it.
    pub fn path(&mut self, paths: &[&str]) -> String {
        let path = self.pick(paths);
        match self.random.random_range(0..20) {
            0 => format!("/v3beta/{path}"),
            1 => format!("/v3/{path}?pretty=true&key=eA=="),
            _ => format!("/v3/{path}"),
        }
    }

    /// A request, spelled rightly.
    pub fn object(&mut self, message: &DynamicMessage) -> String {
        self.wrong_in = None;
        let mut text = self.space().to_string();
        self.message(message, &mut text);
        text.push_str(self.space());
        text
    }

    /// A request with one thing wrong.
    pub fn wrong(&mut self, message: &DynamicMessage) -> String {
        self.wrong_in = Some(self.random.random_range(0..4));
        let mut text = String::new();
        self.message(message, &mut text);
        if self.wrong_in.take().is_none() {
            return text;
        }
        // There was not so much to put wrong: the whole of it is.
        let cut = self.random.random_range(0..=text.len());
        match self.random.random_range(0..12) {
            0 => text.truncate(cut),
            1 => text.insert(text.len() - 1, ','),
            2 => text.insert(1, ','),
            3 => text.insert(0, '\u{feff}'),
            4 => text.insert_str(0, "/* why */"),
            5 => text = format!("[{text}]"),
            6 => text = self.pick(WRONG).to_string(),
            7 => text.insert(cut, '\u{1}'),
            8 => text.insert(cut, '"'),
            9 => text = text.replace('"', "'"),
            10 => text = format!("{}{text}{}", "{\"x\":".repeat(50), "}".repeat(50)),
            _ => text = text.replace(':', "="),
        }
        text
    }

    fn space(&mut self) -> &'static str {
        match self.random.random_range(0..8) {
            0 => " ",
            1 => "\n\t",
            2 => "\r\n  ",
            _ => "",
        }
    }

    fn message(&mut self, message: &DynamicMessage, text: &mut String) {
        let mut rows: Vec<(String, Option<(FieldDescriptor, Value)>)> = message
            .fields()
            .map(|(field, value)| (self.name(&field), Some((field, value.clone()))))
            .collect();
        if self.one_in(6) {
            let names = [
                "\"nosuch\":{\"key\":[1,{}]}",
                "\"nosuch\":null",
                "\"\":1",
                "\"@type\":\"x\"",
                "\"Key\":\"eA==\"",
            ];
            rows.push((self.pick(&names).to_string(), None));
        }
        let descriptor = message.descriptor();
        let unset: Vec<_> = descriptor.fields().filter(|field| !message.has_field(field)).collect();
        if self.one_in(8)
            && let Some(field) = unset.choose(&mut self.random)
        {
            rows.push((format!("{}:null", self.name(field)), None));
        }
        rows.shuffle(&mut self.random);
        text.push('{');
        for (place, (name, row)) in rows.into_iter().enumerate() {
            if place > 0 {
                text.push(',');
            }
            text.push_str(self.space());
            text.push_str(&name);
            if let Some((field, value)) = row {
                text.push(':');
                text.push_str(self.space());
                self.value(&field, &value, text);
            }
        }
        text.push('}');
    }

    fn name(&mut self, field: &FieldDescriptor) -> String {
        match self.one_in(3) {
            true => format!("\"{}\"", field.json_name()),
            false => format!("\"{}\"", field.name()),
        }
    }

    fn value(&mut self, field: &FieldDescriptor, value: &Value, text: &mut String) {
        if let Some(left) = self.wrong_in {
            self.wrong_in = left.checked_sub(1);
            if left == 0 {
                text.push_str(self.pick(WRONG));
                return;
            }
        }
        match value {
            Value::List(values) => {
                text.push('[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        text.push(',');
                    }
                    self.value(field, value, text);
                }
                text.push(']');
            }
            Value::Message(message) => self.message(message, text),
            Value::Bytes(bytes) => self.bytes(bytes, text),
            Value::String(string) => text.push_str(&serde_json::Value::from(&**string).to_string()),
            Value::Bool(bool) => text.push_str(&bool.to_string()),
            Value::I32(number) => self.number(i128::from(*number), text),
            Value::I64(number) => self.number(i128::from(*number), text),
            Value::U32(number) => self.number(i128::from(*number), text),
            Value::U64(number) => self.number(i128::from(*number), text),
            Value::EnumNumber(number) => self.choice(field, *number, text),
            other => panic!("{} is {other:?}", field.full_name()),
        }
    }

    fn number(&mut self, number: i128, text: &mut String) {
        let small = (1..1_000_000).contains(&number);
        match self.random.random_range(0..8) {
            0..4 => text.push_str(&format!("\"{number}\"")),
            4 if self.parser == Parser::Lenient && small => text.push_str(&format!("{number}.0")),
            5 if self.parser == Parser::Lenient && small => text.push_str(&format!("{number}0e-1")),
            _ => text.push_str(&number.to_string()),
        }
    }

    fn choice(&mut self, field: &FieldDescriptor, number: i32, text: &mut String) {
        let Kind::Enum(kind) = field.kind() else { panic!("{} is no enum", field.full_name()) };
        match kind.get_value(number) {
            Some(value) if !self.one_in(3) => text.push_str(&format!("\"{}\"", value.name())),
            _ => text.push_str(&number.to_string()),
        }
    }

    fn bytes(&mut self, bytes: &[u8], text: &mut String) {
        text.push('"');
        match self.random.random_range(0..8) {
            0 if self.parser == Parser::Lenient => text.push_str(&STANDARD_NO_PAD.encode(bytes)),
            1 if self.parser == Parser::Lenient => text.push_str(&URL_SAFE.encode(bytes)),
            2 if bytes.len() < 100 => {
                for letter in STANDARD.encode(bytes).chars() {
                    text.push_str(&format!("\\u{:04x}", letter as u32));
                }
            }
            3 => text.push_str(&STANDARD.encode(bytes).replace('/', "\\/")),
            _ => text.push_str(&STANDARD.encode(bytes)),
        }
        text.push('"');
    }
}
