//! What is wrong with a document of definitions, and where in it.
//!
//! Over HTTP the answer is RabbitMQ's; whoever starts the broker with a document is told the place.

use std::fmt;

use serde_json::{Map, Value};

use super::errors::ApiError;

/// A place in a document: one of its lists, or an item of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// The key of the list.
    pub(super) list: &'static str,
    /// Which item, from 0, and what it is called there.
    pub(super) item: Option<(usize, String)>,
}

impl Place {
    /// The item `index` of `list`.
    pub(super) fn item(list: &'static str, index: usize, item: &Map<String, Value>) -> Self {
        let called = |key: &str| item.get(key).map(Value::to_string);
        let name = match list {
            "bindings" => called("source").zip(called("destination")).map(|(from, to)| {
                let key = called("routing_key").unwrap_or_else(|| "no key".to_owned());
                format!("{from} to {to} by {key}")
            }),
            "permissions" | "topic_permissions" => called("user"),
            _ => called("name"),
        };
        let name = match (name, called("vhost")) {
            (Some(name), Some(vhost)) => format!("{name} in vhost {vhost}"),
            (Some(name), None) => name,
            (None, _) => Value::Object(item.clone()).to_string(),
        };
        Place { list, item: Some((index, name)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            None => write!(f, "{}", self.list),
            Some((index, name)) => write!(f, "{}, item {} ({name})", self.list, index + 1),
        }
    }
}

/// Why a document is not read in, or not all of it.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{place}: {}", words(.error))]
pub(super) struct ImportError {
    /// Where.
    pub(super) place: Place,
    /// What the HTTP API answers.
    pub(super) error: ApiError,
}

/// The reason for people; RabbitMQ's are for programs.
fn words(error: &ApiError) -> String {
    let ApiError::BadRequest(Value::Array(parts)) = error else {
        let reason = error.reason();
        return match missing(&reason) {
            Some(keys) => format!("{keys} missing"),
            None => reason.split_whitespace().collect::<Vec<_>>().join(" "),
        };
    };
    match &parts[..] {
        [Value::String(word), value] => match &word[..] {
            "not_boolean" => format!("{value} is neither true nor false"),
            "not_string" => format!("{value} is no text"),
            "not_a_table" => format!("{value} is no object of arguments"),
            "not_tags" => format!("{value} is no list of tags"),
            _ if word.starts_with("bad_") => format!("{value} is not what belongs here"),
            _ => format!("{word}: {value}"),
        },
        [Value::String(word), pattern, reason] if word == "invalid_regexp" => {
            format!("{pattern} is no regular expression: {reason}")
        }
        _ => error.reason(),
    }
}

/// The keys of `[{key_missing,a},{key_missing,b}]`.
fn missing(reason: &str) -> Option<String> {
    let keys = reason.strip_prefix("[{key_missing,")?.strip_suffix("}]")?;
    Some(keys.split("},{key_missing,").collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::import::stages;
    use serde_json::json;

    #[test]
    fn a_document_that_makes_no_sense_is_told_where_and_why() {
        for (document, words) in [
            (json!({"queues": 5}), "queues: 5 is not what belongs here"),
            (
                json!({"queues": [{"name": "q", "vhost": "/"}, 7]}),
                "queues, item 2 (7): 7 is not what belongs here",
            ),
            (
                json!({"queues": [{"vhost": "/"}]}),
                "queues, item 1 ({\"vhost\":\"/\"}): name missing",
            ),
            (
                json!({"queues": [{"name": "q", "vhost": "/", "durable": "yes"}]}),
                "queues, item 1 (\"q\" in vhost \"/\"): \"yes\" is neither true nor false",
            ),
            (
                json!({"users": [{"name": "u", "tags": 1}]}),
                "users, item 1 (\"u\"): 1 is no list of tags",
            ),
            (
                json!({"permissions": [{"user": "u", "vhost": "/"}]}),
                "permissions, item 1 (\"u\" in vhost \"/\"): configure missing",
            ),
            (
                json!({"bindings": [{"vhost": "/", "source": "x", "destination": "q",
                       "destination_type": "bag", "routing_key": "k"}]}),
                "bindings, item 1 (\"x\" to \"q\" by \"k\" in vhost \"/\"): ",
            ),
            (
                json!({"parameters": [{"vhost": "/", "name": "s", "component": "shovel",
                       "value": {}}]}),
                "parameters, item 1 (\"s\" in vhost \"/\"): Validation failed component shovel \
                 not found",
            ),
        ] {
            let document = document.as_object().expect("an object").clone();
            let error = stages(&document, None).expect_err("no sense").to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
