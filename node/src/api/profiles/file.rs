//! A profile as `pprof` reads it: the messages of its format, and samples written as such.
//!
//! Names stand in one table, functions and places in tables of their own, and a sample refers to
//! places by number, the innermost first. Only what we fill in is declared.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use pprof::{Report, Symbol};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub period: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ValueType {
    #[prost(int64, tag = "1")]
    pub kind: i64,
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Label {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(int64, tag = "2")]
    pub text: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Location {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Line {
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    #[prost(int64, tag = "2")]
    pub line: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Function {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "2")]
    pub name: i64,
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// One line of a stack: function, its name to the linker, file, line.
type Place = (String, String, String, u32);

/// A stack that was met, innermost first. What is inlined stands in one frame with its caller.
struct Stack {
    thread: String,
    frames: Vec<Vec<Place>>,
    count: i64,
}

/// The report as a profile.
pub fn profile(report: &Report) -> Profile {
    let stacks = report.data.iter().map(|(stack, count)| {
        let frames = stack.frames.iter().map(|frame| frame.iter().map(place).collect());
        Stack {
            thread: stack.thread_name_or_id(),
            frames: without_profiler(frames.collect()),
            count: *count as i64,
        }
    });
    let timing = &report.timing;
    let began = timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut profile = write(stacks, 1_000_000_000 / i64::from(timing.frequency.max(1)));
    profile.time_nanos = began.as_nanos() as i64;
    profile.duration_nanos = timing.duration.as_nanos() as i64;
    profile
}

/// A stack begins where it was walked, in the handler of the signal; that is nobody's work.
fn without_profiler(mut frames: Vec<Vec<Place>>) -> Vec<Vec<Place>> {
    let of_profiler = |frame: &Vec<Place>| frame.iter().any(|(name, ..)| name.contains("pprof::"));
    let walk = frames.iter().take_while(|frame| of_profiler(frame)).count();
    frames.drain(..walk);
    frames
}

fn place(symbol: &Symbol) -> Place {
    (symbol.name(), symbol.sys_name().into_owned(), symbol.filename().into_owned(), symbol.lineno())
}

fn write(stacks: impl Iterator<Item = Stack>, period: i64) -> Profile {
    let mut tables = Tables::default();
    // The format wants the empty text to be the first.
    tables.text("");
    let counts = ValueType { kind: tables.text("samples"), unit: tables.text("count") };
    let time = ValueType { kind: tables.text("cpu"), unit: tables.text("nanoseconds") };
    let thread = tables.text("thread");
    let sample = stacks
        .map(|stack| Sample {
            location_id: stack.frames.into_iter().map(|frame| tables.location(frame)).collect(),
            value: vec![stack.count, stack.count * period],
            label: vec![Label { key: thread, text: tables.text(&stack.thread) }],
        })
        .collect();
    Profile {
        sample_type: vec![counts, time],
        sample,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.texts,
        period_type: Some(time),
        period,
        ..Profile::default()
    }
}

/// What samples refer to. Places and functions are numbered from 1, texts from 0.
#[derive(Default)]
struct Tables {
    texts: Vec<String>,
    text_numbers: HashMap<String, i64>,
    functions: Vec<Function>,
    function_numbers: HashMap<(i64, i64), u64>,
    locations: Vec<Location>,
    location_numbers: HashMap<Vec<Place>, u64>,
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(number) = self.text_numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.text_numbers.insert(text.to_owned(), number);
        number
    }

    fn function(&mut self, (name, system_name, file, _): &Place) -> u64 {
        let system_name = self.text(system_name);
        let filename = self.text(file);
        if let Some(number) = self.function_numbers.get(&(system_name, filename)) {
            return *number;
        }
        let id = self.functions.len() as u64 + 1;
        let name = self.text(name);
        self.functions.push(Function { id, name, system_name, filename });
        self.function_numbers.insert((system_name, filename), id);
        id
    }

    fn location(&mut self, frame: Vec<Place>) -> u64 {
        if let Some(number) = self.location_numbers.get(&frame) {
            return *number;
        }
        let line = frame
            .iter()
            .map(|place| Line { function_id: self.function(place), line: i64::from(place.3) })
            .collect();
        let id = self.locations.len() as u64 + 1;
        self.locations.push(Location { id, line });
        self.location_numbers.insert(frame, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, line: u32) -> Vec<Place> {
        vec![(name.into(), format!("_{name}"), "file.rs".into(), line)]
    }

    #[test]
    fn samples_refer_to_shared_places() {
        let stack = |leaf: &str, count| Stack {
            thread: "raft".into(),
            frames: vec![frame(leaf, 3), frame("main", 9)],
            count,
        };
        let profile = write([stack("a", 2), stack("b", 5)].into_iter(), 10_000_000);
        assert_eq!(profile.string_table[0], "");
        assert_eq!(profile.sample[1].value, [5, 50_000_000]);
        // The caller is one place and one function for both.
        assert_eq!(profile.sample[0].location_id[1], profile.sample[1].location_id[1]);
        assert_eq!((profile.location.len(), profile.function.len()), (3, 3));
        let text = |number: i64| profile.string_table[number as usize].as_str();
        let leaf = profile.sample[1].location_id[0];
        let place = profile.location.iter().find(|place| place.id == leaf).unwrap();
        let function = profile.function.iter().find(|f| f.id == place.line[0].function_id);
        assert_eq!(text(function.unwrap().name), "b");
        assert_eq!(place.line[0].line, 3);
        let label = profile.sample[0].label[0];
        assert_eq!((text(label.key), text(label.text)), ("thread", "raft"));
    }

    #[test]
    fn the_profiler_itself_is_not_in_a_profile() {
        let walk = [frame("trace", 1), frame("<pprof::backtrace::Trace as X>::trace", 1)].concat();
        let stack = vec![walk, frame("a", 3), frame("main", 9)];
        assert_eq!(without_profiler(stack), [frame("a", 3), frame("main", 9)]);
    }

    #[test]
    fn one_function_at_two_lines_is_two_places() {
        let stacks = [3, 4].map(|line| Stack {
            thread: String::new(),
            frames: vec![frame("a", line)],
            count: 1,
        });
        let profile = write(stacks.into_iter(), 1);
        assert_eq!((profile.location.len(), profile.function.len()), (2, 1));
    }
}
