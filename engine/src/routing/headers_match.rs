//! What a headers binding asks of a message (behaviour C4, C5).
//!
//! Values are compared as RabbitMQ compares them: by value, not by wire type, numbers of any
//! width with each other, strings with strings, and never one with the other. A void value asks
//! for presence alone. Where a name occurs several times, occurrences pair up in order.

use crate::table::{encoded, RawValue, Table, Value};

/// How many of a binding's conditions must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchMode {
    All,
    Any,
}

/// Conditions of one binding, parsed from its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeadersMatch {
    pub(super) mode: MatchMode,
    /// In ascending order of name.
    pub(super) conditions: Box<[Condition]>,
}

/// One header that must be there, perhaps with a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Condition {
    pub(super) name: Box<[u8]>,
    /// Which of the headers of that name.
    occurrence: usize,
    /// Type octet and encoded value; `None` asks for presence.
    wanted: Option<(u8, Box<[u8]>)>,
}

/// A message's header: name and value.
pub(super) type Header<'a> = (&'a [u8], RawValue<'a>);

/// A value in the form in which values are compared: equal if RabbitMQ holds them equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparable<'a> {
    Bool(bool),
    /// Integers of any width, timestamps, and floating point numbers without a fraction.
    Integer(i128),
    /// Bits of a double.
    Fraction(u64),
    Decimal(&'a [u8]),
    /// Long strings and byte arrays.
    Octets(&'a [u8]),
    /// Arrays and tables are compared as encoded.
    Nested(u8, &'a [u8]),
    Void,
}

impl HeadersMatch {
    /// Reads a binding's arguments. `Err` is the value of an `x-match` that means nothing.
    pub fn parse(arguments: &Table) -> Result<HeadersMatch, &Value> {
        let (mode, with_x) = match arguments.get("x-match") {
            None => (MatchMode::All, false),
            Some(value) => match value.as_str() {
                Some("all") => (MatchMode::All, false),
                Some("any") => (MatchMode::Any, false),
                Some("all-with-x") => (MatchMode::All, true),
                Some("any-with-x") => (MatchMode::Any, true),
                _ => return Err(value),
            },
        };
        Ok(HeadersMatch::new(arguments, mode, with_x))
    }

    /// As [`HeadersMatch::parse`], but total: a meaningless `x-match` is taken for `all`.
    pub(super) fn parse_leniently(arguments: &Table) -> HeadersMatch {
        HeadersMatch::parse(arguments)
            .unwrap_or_else(|_| HeadersMatch::new(arguments, MatchMode::All, false))
    }

    fn new(arguments: &Table, mode: MatchMode, with_x: bool) -> HeadersMatch {
        let mut conditions: Vec<Condition> = Vec::new();
        for (name, value) in &arguments.sorted().0 {
            if &**name == "x-match" || (name.starts_with("x-") && !with_x) {
                continue;
            }
            let name: Box<[u8]> = name.as_bytes().into();
            let occurrence = match conditions.last() {
                Some(last) if last.name == name => last.occurrence + 1,
                _ => 0,
            };
            let wanted = (*value != Value::Void).then(|| encoded(value));
            conditions.push(Condition { name, occurrence, wanted });
        }
        HeadersMatch { mode, conditions: conditions.into() }
    }

    /// Whether a message with these headers is to be routed. `Any` of no conditions is false.
    pub(super) fn matches(&self, headers: &[Header<'_>]) -> bool {
        let mut conditions = self.conditions.iter();
        match self.mode {
            MatchMode::All => conditions.all(|condition| condition.holds(headers)),
            MatchMode::Any => conditions.any(|condition| condition.holds(headers)),
        }
    }
}

impl Condition {
    /// The value asked for, unless presence is enough.
    pub(super) fn wanted(&self) -> Option<Comparable<'_>> {
        self.wanted.as_ref().map(|(kind, octets)| Comparable::of(RawValue::new(*kind, octets)))
    }

    fn holds(&self, headers: &[Header<'_>]) -> bool {
        let mut named = headers.iter().filter(|(name, _)| **name == *self.name);
        let Some((_, value)) = named.nth(self.occurrence) else { return false };
        self.wanted().is_none_or(|wanted| wanted == Comparable::of(*value))
    }
}

impl<'a> Comparable<'a> {
    pub(super) fn of(value: RawValue<'a>) -> Comparable<'a> {
        if let Some(integer) = value.as_integer() {
            return Comparable::Integer(integer);
        }
        if let Some(seconds) = value.as_timestamp() {
            return Comparable::Integer(seconds.into());
        }
        if let Some(number) = value.as_float() {
            return Comparable::of_float(number);
        }
        match value.kind() {
            b't' => Comparable::Bool(value.as_bool().unwrap_or_default()),
            b'S' | b'x' => Comparable::Octets(value.octets()),
            b'D' => Comparable::Decimal(value.octets()),
            b'V' => Comparable::Void,
            kind => Comparable::Nested(kind, value.octets()),
        }
    }

    fn of_float(number: f64) -> Comparable<'a> {
        // Beyond 2^63 no integer header can equal it, so its bits do.
        if number.fract() == 0.0 && number.abs() < 9.2e18 {
            Comparable::Integer(number as i128)
        } else {
            Comparable::Fraction(number.to_bits())
        }
    }
}
