//! What a policy may say (behaviour B56, B57), with RabbitMQ's words for what it may not.

use std::sync::Arc;

use super::policy::pattern_of;
use super::{ApplyTo, TopologyError};
use crate::access::Pattern;
use crate::message::EXPIRY_MAX_MS;
use crate::table::{Table, Term, Value};

type Check = fn(&Value) -> bool;

struct Key {
    name: &'static str,
    /// An operator policy may set it.
    operator: bool,
    check: Check,
    /// What a bad value is not.
    what: &'static str,
}

const fn key(name: &'static str, operator: bool, check: Check, what: &'static str) -> Key {
    Key { name, operator, check, what }
}

/// Those of mirroring and of other queue types mean nothing here, as on a single node without
/// such queues; they are taken so that policies can be brought along.
const KEYS: [Key; 27] = [
    key("alternate-exchange", false, is_text, "alternate exchange name"),
    key("dead-letter-exchange", false, is_text, "dead letter exchange name"),
    key("dead-letter-routing-key", false, is_text, "dead letter routing key"),
    key("dead-letter-strategy", false, is_strategy, "dead letter strategy"),
    key("message-ttl", true, is_expiry, "message TTL"),
    key("expires", true, is_positive_expiry, "queue expiry"),
    key("max-length", true, is_count, "maximum length"),
    key("max-length-bytes", true, is_count, "maximum length in bytes"),
    key("max-in-memory-length", true, is_count, "maximum memory in bytes"),
    key("max-in-memory-bytes", true, is_count, "maximum memory in bytes"),
    key("queue-mode", false, is_mode, "queue-mode value"),
    key("queue-version", true, is_version, "queue-version value"),
    key("overflow", true, is_overflow, "overflow value"),
    key("delivery-limit", true, is_count, "delivery limit"),
    key("consumer-timeout", true, is_count, "consumer timeout"),
    key("consumer-timeout-action", false, is_timeout_action, "consumer timeout action"),
    key("max-age", false, is_text, "max age"),
    key("stream-max-segment-size-bytes", false, is_count, "segment size"),
    key("queue-leader-locator", false, is_locator, "queue leader locator value"),
    key("initial-cluster-size", false, is_count, "cluster size"),
    key("queue-master-locator", false, is_text, "master locator"),
    key("ha-mode", false, is_text, "ha-mode value"),
    key("ha-params", false, is_anything, "ha-params value"),
    key("ha-sync-mode", false, is_text, "ha-sync-mode value"),
    key("ha-sync-batch-size", false, is_count, "ha-sync-batch-size value"),
    key("ha-promote-on-shutdown", false, is_text, "ha-promote-on-shutdown value"),
    key("ha-promote-on-failure", false, is_text, "ha-promote-on-failure value"),
];

/// Checks a policy that is to be set.
pub(super) fn check_policy(
    operator: bool,
    pattern: &str,
    apply_to: &str,
    definition: &Table,
) -> Result<ApplyTo, TopologyError> {
    let mut errors = Vec::new();
    if let Err(error) = Pattern::new(pattern_of(pattern)) {
        // The last line says it; the ones before draw an arrow.
        let reason = error.reason.lines().last().unwrap_or_default();
        let reason = reason.trim_start_matches("error: ");
        errors.push(format!("pattern should be regular expression but is invalid: {reason}"));
    }
    let applies = ApplyTo::from_name(apply_to);
    if applies.is_none() {
        errors.push(format!(
            "apply-to '{apply_to}' unrecognised; should be one of: 'queues', 'classic_queues', \
             'quorum_queues', 'streams', 'exchanges', or 'all'"
        ));
    }
    errors.extend(check_definition(operator, definition).err());
    match applies {
        Some(applies) if errors.is_empty() => Ok(applies),
        _ => Err(TopologyError::invalid_parameter(&errors)),
    }
}

fn check_definition(operator: bool, definition: &Table) -> Result<(), String> {
    if definition.0.is_empty() {
        return Err("no policy provided".to_owned());
    }
    for (index, (name, _)) in definition.0.iter().enumerate() {
        if definition.0[..index].iter().any(|(other, _)| other == name) {
            let name = Value::text(name);
            return Err(format!("[{}] duplicate keys not allowed", Term(&name)));
        }
    }
    let mut unknown = Vec::new();
    for (name, value) in &definition.0 {
        match KEYS.iter().find(|key| key.name == &**name && (key.operator || !operator)) {
            Some(key) if (key.check)(value) => {}
            Some(key) => return Err(format!("{} is not a valid {}", plain(value), key.what)),
            None => unknown.push(format!("{{{},{}}}", Term(&Value::text(name)), plain(value))),
        }
    }
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(format!("[{}] are not recognised policy settings", unknown.join(","))),
    }
}

/// A value of JSON as an Erlang term: lists and maps have no types beside their items.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(","))
        }
        Value::Table(fields) => {
            let pair = |(name, value): &(Box<str>, Value)| {
                format!("{} => {}", Term(&Value::text(name)), plain(value))
            };
            let fields: Vec<String> = fields.0.iter().map(pair).collect();
            format!("#{{{}}}", fields.join(","))
        }
        Value::Void => "null".to_owned(),
        other => Term(other).to_string(),
    }
}

fn is_anything(_: &Value) -> bool {
    true
}

fn is_text(value: &Value) -> bool {
    matches!(value, Value::Bytes(_))
}

fn one_of(value: &Value, allowed: &[&str]) -> bool {
    value.as_str().is_some_and(|text| allowed.contains(&text))
}

fn is_strategy(value: &Value) -> bool {
    one_of(value, &["at-most-once", "at-least-once"])
}

fn is_mode(value: &Value) -> bool {
    one_of(value, &["default", "lazy"])
}

fn is_overflow(value: &Value) -> bool {
    one_of(value, &["drop-head", "reject-publish", "reject-publish-dlx"])
}

fn is_locator(value: &Value) -> bool {
    one_of(value, &["client-local", "balanced", "random", "least-leaders"])
}

fn is_timeout_action(value: &Value) -> bool {
    one_of(value, &["close", "requeue"])
}

fn is_version(value: &Value) -> bool {
    matches!(value.as_integer(), Some(1 | 2))
}

fn is_count(value: &Value) -> bool {
    value.as_integer().is_some_and(|number| number >= 0)
}

fn is_expiry(value: &Value) -> bool {
    value.as_integer().is_some_and(|number| (0..=i128::from(EXPIRY_MAX_MS)).contains(&number))
}

fn is_positive_expiry(value: &Value) -> bool {
    value.as_integer().is_some_and(|number| (1..=i128::from(EXPIRY_MAX_MS)).contains(&number))
}

impl TopologyError {
    /// RabbitMQ's words for a runtime parameter that will not do.
    pub(super) fn invalid_parameter(errors: &[String]) -> TopologyError {
        let mut reason = String::from("Validation failed\n\n");
        for error in errors {
            reason.push_str(error);
            reason.push('\n');
        }
        TopologyError::InvalidParameter { reason: Arc::from(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(operator: bool, apply_to: &str, fields: &[(&str, Value)]) -> String {
        let table = Table(fields.iter().map(|(k, v)| ((*k).into(), v.clone())).collect());
        match check_policy(operator, "^q", apply_to, &table) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_key_takes_what_it_can_use() {
        let ok: [(&str, Value); 5] = [
            ("message-ttl", Value::I64(0)),
            ("expires", Value::I64(1)),
            ("overflow", Value::text("reject-publish")),
            ("dead-letter-exchange", Value::text("")),
            ("ha-mode", Value::text("all")),
        ];
        assert_eq!(refusal(false, "all", &ok), "");
        for (name, value, words) in [
            ("message-ttl", Value::I64(-1), "-1 is not a valid message TTL"),
            ("message-ttl", Value::text("x"), "<<\"x\">> is not a valid message TTL"),
            ("expires", Value::I64(0), "0 is not a valid queue expiry"),
            ("overflow", Value::text("drop"), "<<\"drop\">> is not a valid overflow value"),
            (
                "max-priority",
                Value::I64(3),
                "[{<<\"max-priority\">>,3}] are not recognised policy settings",
            ),
        ] {
            let expected = format!("Validation failed\n\n{words}\n");
            assert_eq!(refusal(false, "all", &[(name, value)]), expected);
        }
    }

    #[test]
    fn operator_policies_set_limits_alone() {
        assert_eq!(refusal(true, "queues", &[("max-length", Value::I64(1))]), "");
        let words = refusal(true, "queues", &[("dead-letter-exchange", Value::text("x"))]);
        assert!(words.contains("are not recognised policy settings"), "{words}");
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let words = refusal(false, "everything", &[("expires", Value::I64(0))]);
        assert!(words.contains("apply-to 'everything' unrecognised"), "{words}");
        assert!(words.contains("0 is not a valid queue expiry"), "{words}");
        let error = check_policy(false, "(", "all", &Table::default()).expect_err("no regex");
        assert!(error.to_string().contains("pattern should be regular expression"), "{error}");
    }
}
