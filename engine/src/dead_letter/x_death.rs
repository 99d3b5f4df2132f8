//! The headers that tell how a message died: x-death and x-first-death-* (behaviour B32-B34, as
//! RabbitMQ 3.10 writes them). Pure.
//!
//! x-death holds one table for each (queue, reason), most recent first; dying there again only
//! raises its count. The first table of a message has its fields in the order in which RabbitMQ
//! happens to write them, later ones in order of name: both were recorded. Headers of the client
//! stay where they are.

use rustc_hash::FxHashMap;

use super::cycle::text;
use super::Cause;
use crate::properties::{
    copy_field, copy_value, push_field, push_field_with, push_value, with_length,
};
use crate::table::{field, fields, RawValue};

const X_DEATH: &[u8] = b"x-death";
const FIRST_EXCHANGE: &[u8] = b"x-first-death-exchange";
const FIRST_QUEUE: &[u8] = b"x-first-death-queue";
const FIRST_REASON: &[u8] = b"x-first-death-reason";

/// What x-death tells of one death.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death<'a> {
    pub(super) cause: Cause,
    /// Where it died.
    pub(super) queue: &'a [u8],
    pub(super) at_unix_s: u64,
    /// How it was published.
    pub(super) exchange: &'a [u8],
    pub(super) routing_key: &'a [u8],
    /// The message's own limit, which it loses.
    pub(super) original_expiration: Option<&'a [u8]>,
}

/// The keys in the CC header: it is a list of long strings.
pub(super) fn further_keys(headers: &[u8]) -> impl Iterator<Item = &[u8]> {
    let items = field(headers, b"CC").and_then(|value| value.items());
    items.into_iter().flatten().map_while(Result::ok).filter_map(|item| item.as_bytes())
}

/// Appends `headers` (a table's fields) with that death noted in them, and without CC if another
/// routing key replaces it.
pub(super) fn write_headers(
    out: &mut Vec<u8>,
    headers: &[u8],
    death: &Death<'_>,
    keep_further_keys: bool,
) {
    let known = field(headers, X_DEATH).is_some();
    let mut noted = false;
    for (name, value) in fields(headers).map_while(Result::ok) {
        match name {
            X_DEATH if noted => {}
            X_DEATH => {
                noted = true;
                push_field_with(out, X_DEATH, b'A', |out| {
                    write_deaths(out, &value, headers, death);
                });
            }
            b"CC" if !keep_further_keys => {}
            FIRST_EXCHANGE | FIRST_QUEUE | FIRST_REASON if !known => {}
            _ => copy_field(out, name, &value),
        }
    }
    if !known {
        push_field_with(out, X_DEATH, b'A', |out| write_new(out, headers, death, false));
        push_field(out, FIRST_EXCHANGE, b'S', death.exchange);
        push_field(out, FIRST_QUEUE, b'S', death.queue);
        push_field(out, FIRST_REASON, b'S', death.cause.name().as_bytes());
    }
}

/// Appends the items of an x-death that is there already. One that is no list, by a client's
/// doing, is begun anew.
fn write_deaths(out: &mut Vec<u8>, old: &RawValue<'_>, headers: &[u8], death: &Death<'_>) {
    let Some(items) = old.items() else { return write_new(out, headers, death, false) };
    let items = || items.clone().map_while(Result::ok);
    let is_this = |item: &RawValue<'_>| {
        text(item, b"queue") == Some(death.queue)
            && text(item, b"reason") == Some(death.cause.name().as_bytes())
    };
    match items().find(is_this) {
        Some(again) => {
            let times = items().filter(is_this).count() as i64;
            write_again(out, &again, times);
        }
        None => write_new(out, headers, death, true),
    }
    let others: Vec<RawValue<'_>> = items().filter(|item| !is_this(item)).collect();
    write_others(out, &others);
}

/// The other deaths, each kind once. Brokers of old noted each death in a table of its own, without a
/// count: of such tables the first stays, and says how many there were.
fn write_others(out: &mut Vec<u8>, others: &[RawValue<'_>]) {
    fn kind<'a>(item: &RawValue<'a>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        (text(item, b"queue"), text(item, b"reason"))
    }
    let mut times = FxHashMap::default();
    for other in others.iter().filter(|other| other.table().is_some()) {
        *times.entry(kind(other)).or_insert(0_i64) += 1;
    }
    for other in others {
        if other.table().is_none() {
            copy_value(out, other);
            continue;
        }
        // Whoever comes later finds that its kind is written.
        let Some(times) = times.remove(&kind(other)) else { continue };
        if field(other.octets(), b"count").is_some() {
            copy_value(out, other);
            continue;
        }
        out.push(b'F');
        with_length(out, |out| {
            push_field(out, b"count", b'l', &times.to_be_bytes());
            for (name, value) in fields(other.octets()).map_while(Result::ok) {
                copy_field(out, name, &value);
            }
        });
    }
}

/// A death of a kind the message has not seen yet.
fn write_new(out: &mut Vec<u8>, headers: &[u8], death: &Death<'_>, in_order_of_name: bool) {
    let reason = death.cause.name().as_bytes();
    out.push(b'F');
    with_length(out, |out| {
        push_field(out, b"count", b'l', &1_i64.to_be_bytes());
        if in_order_of_name {
            push_field(out, b"exchange", b'S', death.exchange);
            write_original_expiration(out, death);
            push_field(out, b"queue", b'S', death.queue);
            push_field(out, b"reason", b'S', reason);
            write_keys(out, headers, death);
            push_field(out, b"time", b'T', &death.at_unix_s.to_be_bytes());
        } else {
            push_field(out, b"reason", b'S', reason);
            push_field(out, b"queue", b'S', death.queue);
            push_field(out, b"time", b'T', &death.at_unix_s.to_be_bytes());
            push_field(out, b"exchange", b'S', death.exchange);
            write_keys(out, headers, death);
            write_original_expiration(out, death);
        }
    });
}

fn write_original_expiration(out: &mut Vec<u8>, death: &Death<'_>) {
    if let Some(expiration) = death.original_expiration {
        push_field(out, b"original-expiration", b'S', expiration);
    }
}

fn write_keys(out: &mut Vec<u8>, headers: &[u8], death: &Death<'_>) {
    push_field_with(out, b"routing-keys", b'A', |out| {
        push_value(out, b'S', death.routing_key);
        for key in further_keys(headers) {
            push_value(out, b'S', key);
        }
    });
}

/// A death that has happened before, `times` times going by the number of its tables. Nothing
/// but the count changes.
fn write_again(out: &mut Vec<u8>, before: &RawValue<'_>, times: i64) {
    let read = |value: RawValue<'_>| value.as_integer().and_then(|n| i64::try_from(n).ok());
    let count = match field(before.octets(), b"count") {
        Some(value) => read(value).unwrap_or(0),
        None => times,
    };
    let count = count.saturating_add(1).to_be_bytes();
    let mut named: Vec<(&[u8], RawValue<'_>)> = fields(before.octets())
        .map_while(Result::ok)
        .filter(|(name, _)| *name != b"count")
        .collect();
    named.push((b"count", RawValue::new(b'l', &count)));
    named.sort_by_key(|(name, _)| *name);
    out.push(b'F');
    with_length(out, |out| {
        for (name, value) in &named {
            copy_field(out, name, value);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    fn death(cause: Cause, queue: &str) -> Death<'_> {
        Death {
            cause,
            queue: queue.as_bytes(),
            at_unix_s: 1_700_000_000,
            exchange: b"x",
            routing_key: b"k",
            original_expiration: None,
        }
    }

    fn fields_of(table: &Table) -> Vec<u8> {
        let mut octets = Vec::new();
        table.encode_fields(&mut octets);
        octets
    }

    fn died(headers: &Table, death: &Death<'_>) -> Table {
        let mut out = Vec::new();
        write_headers(&mut out, &fields_of(headers), death, true);
        Table::decode(&out).expect("a table")
    }

    fn names(table: &Table) -> Vec<&str> {
        table.0.iter().map(|(name, _)| &**name).collect()
    }

    fn deaths(table: &Table) -> Vec<&Table> {
        let Some(Value::Array(items)) = table.get("x-death") else { panic!("{table:?}") };
        let mut tables = Vec::new();
        for item in items {
            let Value::Table(table) = item else { panic!("{item:?}") };
            tables.push(table);
        }
        tables
    }

    #[test]
    fn first_death_is_told_as_recorded() {
        let before = Table(vec![("h".into(), Value::I32(1))]);
        let expired =
            Death { original_expiration: Some(b"40"), ..death(Cause::Expired, "p.147309ca") };
        let after = died(&before, &expired);
        assert_eq!(
            names(&after),
            [
                "h",
                "x-death",
                "x-first-death-exchange",
                "x-first-death-queue",
                "x-first-death-reason"
            ]
        );
        let told = deaths(&after);
        assert_eq!(
            told,
            [&Table(vec![
                ("count".into(), Value::I64(1)),
                ("reason".into(), Value::text("expired")),
                ("queue".into(), Value::text("p.147309ca")),
                ("time".into(), Value::Timestamp(1_700_000_000)),
                ("exchange".into(), Value::text("x")),
                ("routing-keys".into(), Value::Array(Box::new([Value::text("k")]))),
                ("original-expiration".into(), Value::text("40")),
            ])]
        );
        assert_eq!(after.get("x-first-death-reason"), Some(&Value::text("expired")));
    }

    #[test]
    fn the_same_death_again_raises_the_count_and_comes_first() {
        let once = died(&Table::default(), &death(Cause::Rejected, "a"));
        let elsewhere = died(&once, &death(Cause::Expired, "b"));
        let again = died(&elsewhere, &Death { at_unix_s: 9, ..death(Cause::Rejected, "a") });
        let told = deaths(&again);
        assert_eq!(told.len(), 2);
        assert_eq!(
            names(told[0]),
            ["count", "exchange", "queue", "reason", "routing-keys", "time"]
        );
        assert_eq!(told[0].get("count"), Some(&Value::I64(2)));
        assert_eq!(told[0].get("time"), Some(&Value::Timestamp(1_700_000_000)));
        assert_eq!(told[1].get("queue"), Some(&Value::text("b")));
        assert_eq!(again.get("x-first-death-queue"), Some(&Value::text("a")));
    }

    #[test]
    fn other_reasons_in_one_queue_are_other_deaths() {
        let once = died(&Table::default(), &death(Cause::Rejected, "a"));
        let twice = died(&once, &death(Cause::MaxLength, "a"));
        let told: Vec<_> = deaths(&twice).into_iter().map(|t| t.get("reason").cloned()).collect();
        assert_eq!(told, [Some(Value::text("maxlen")), Some(Value::text("rejected"))]);
    }

    #[test]
    fn further_keys_are_told_and_go_if_another_key_replaces_them() {
        let cc = Value::Array(Box::new([Value::text("c1"), Value::I32(5), Value::text("c2")]));
        let before = Table(vec![("CC".into(), cc), ("z".into(), Value::Void)]);
        let after = died(&before, &death(Cause::Rejected, "a"));
        let keys = Value::Array(["k", "c1", "c2"].map(Value::text).into());
        assert_eq!(deaths(&after)[0].get("routing-keys"), Some(&keys));
        assert_eq!(&names(&after)[..3], ["CC", "z", "x-death"]);
        let mut out = Vec::new();
        write_headers(&mut out, &fields_of(&before), &death(Cause::Rejected, "a"), false);
        let after = Table::decode(&out).expect("a table");
        assert_eq!(&names(&after)[..2], ["z", "x-death"]);
        assert_eq!(deaths(&after)[0].get("routing-keys"), Some(&keys));
    }

    #[test]
    fn what_a_client_made_of_x_death_is_counted_on_or_begun_anew() {
        let counted = |count: Option<Value>| {
            let mut fields = vec![
                ("queue".into(), Value::text("a")),
                ("reason".into(), Value::text("rejected")),
            ];
            fields.extend(count.map(|count| ("count".into(), count)));
            Value::Table(Table(fields))
        };
        let sent = |items: Vec<Value>| Table(vec![("x-death".into(), Value::Array(items.into()))]);
        let count = |after: &Table| deaths(after)[0].get("count").cloned();
        let rejected = death(Cause::Rejected, "a");
        let after = died(&sent(vec![counted(Some(Value::I32(41)))]), &rejected);
        assert_eq!(count(&after), Some(Value::I64(42)));
        assert!(after.get("x-first-death-queue").is_none());
        // From before there were counts: one table for each death.
        let after = died(&sent(vec![counted(None), counted(None)]), &rejected);
        assert_eq!((count(&after), deaths(&after).len()), (Some(Value::I64(3)), 1));
        let elsewhere = Death { queue: b"b", ..rejected };
        let after = died(&sent(vec![counted(None), Value::I8(1), counted(None)]), &elsewhere);
        let Some(Value::Array(items)) = after.get("x-death") else { panic!("{after:?}") };
        let [_, Value::Table(two), Value::I8(1)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(two.get("count"), Some(&Value::I64(2)));
        let text = Table(vec![("x-death".into(), Value::text("[{count,1}]"))]);
        let after = died(&text, &rejected);
        assert_eq!(count(&after), Some(Value::I64(1)));
    }
}
