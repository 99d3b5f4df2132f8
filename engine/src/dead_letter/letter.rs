//! A dead message on its way to other queues: owned, because it may have to wait. Pure.

use super::cycle::closes_cycle;
use super::x_death::{further_keys, write_headers, Death};
use super::Cause;
use crate::delay::write_waited;
use crate::message::MessageRef;
use crate::properties::PropertyList;
use crate::table::{field, RawValue};

/// Buffers of a used letter are kept up to this size for the next one.
const KEPT_OCTETS: usize = 1 << 20;

/// How and where a message died, and what its queue says shall be done with it.
#[derive(Clone, Copy, Debug)]
pub struct Burial<'a> {
    pub cause: Cause,
    /// Name of the queue.
    pub queue: &'a str,
    pub now_unix_ms: u64,
    /// `x-dead-letter-exchange`
    pub exchange: &'a str,
    /// `x-dead-letter-routing-key`; `None`: the message keeps its keys.
    pub routing_key: Option<&'a str>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    exchange: Vec<u8>,
    routing_key: Vec<u8>,
    properties: Vec<u8>,
    body: Vec<u8>,
    /// Further keys, an array of them as on the wire, that nobody is to be told of.
    hidden_keys: Vec<u8>,
    persistent: bool,
    priority: u8,
    expiration_ms: Option<u64>,
}

impl Letter {
    /// Becomes the letter for that message. The expiration property is gone (behaviour B34), the
    /// headers tell of the death, everything else is as it was.
    pub fn write(&mut self, message: &MessageRef<'_>, burial: &Burial<'_>) {
        self.clear();
        let list = PropertyList::read(message.properties);
        let death = Death {
            cause: burial.cause,
            queue: burial.queue.as_bytes(),
            at_unix_s: burial.now_unix_ms / 1000,
            exchange: message.exchange,
            routing_key: message.routing_key,
            original_expiration: list.expiration(),
        };
        let keep_further_keys = burial.routing_key.is_none();
        list.without_expiration().write(&mut self.properties, |out| {
            write_headers(out, list.headers(), &death, keep_further_keys);
        });
        self.exchange.extend_from_slice(burial.exchange.as_bytes());
        let key = burial.routing_key.map_or(message.routing_key, str::as_bytes);
        self.routing_key.extend_from_slice(key);
        self.take_rest(message);
        self.expiration_ms = None;
    }

    /// Becomes the message itself, which has been held back and goes on (behaviour C10, C13): all
    /// is as it was but for the delay in its headers, which is over, and BCC.
    pub fn write_onward(&mut self, message: &MessageRef<'_>) {
        self.clear();
        let list = PropertyList::read(message.properties);
        if list.headers().is_empty() {
            self.properties.extend_from_slice(message.properties);
        } else {
            list.write(&mut self.properties, |out| write_waited(out, list.headers()));
            let hidden = field(list.headers(), b"BCC").filter(|value| value.kind() == b'A');
            self.hidden_keys.extend_from_slice(hidden.map_or(&[], |value| value.octets()));
        }
        self.exchange.extend_from_slice(message.exchange);
        self.routing_key.extend_from_slice(message.routing_key);
        self.take_rest(message);
    }

    /// Becomes a copy of the message.
    pub fn write_copy(&mut self, message: &MessageRef<'_>) {
        self.clear();
        self.properties.extend_from_slice(message.properties);
        self.exchange.extend_from_slice(message.exchange);
        self.routing_key.extend_from_slice(message.routing_key);
        self.take_rest(message);
    }

    fn clear(&mut self) {
        let Letter { exchange, routing_key, properties, hidden_keys, .. } = self;
        for part in [exchange, routing_key, properties, hidden_keys] {
            part.clear();
        }
        self.body.clear();
        self.body.shrink_to(KEPT_OCTETS);
    }

    /// It has been sent: the memory of a long body is given up.
    pub fn sent(&mut self) {
        if self.body.capacity() > KEPT_OCTETS {
            self.body = Vec::new();
        }
    }

    fn take_rest(&mut self, message: &MessageRef<'_>) {
        self.body.extend_from_slice(message.body);
        self.persistent = message.persistent;
        self.priority = message.priority;
        self.expiration_ms = message.expiration_ms;
    }

    pub fn message(&self) -> MessageRef<'_> {
        MessageRef {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            properties: &self.properties,
            body: &self.body,
            persistent: self.persistent,
            priority: self.priority,
            expiration_ms: self.expiration_ms,
        }
    }

    /// The fields of the header table, without its length.
    pub fn headers(&self) -> &[u8] {
        PropertyList::read(&self.properties).headers()
    }

    /// The keys it is routed by: its own first, then those of CC unless one key has replaced all.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let hidden = RawValue::new(b'A', &self.hidden_keys).items().into_iter().flatten();
        let hidden = hidden.map_while(Result::ok).filter_map(|item| item.as_bytes());
        let own = std::iter::once(self.routing_key.as_slice());
        own.chain(further_keys(self.headers())).chain(hidden)
    }

    /// True if it must not go to the queue of that name (behaviour B35).
    pub fn closes_cycle(&self, cause: Cause, queue: &str) -> bool {
        cause != Cause::Rejected && closes_cycle(self.headers(), queue.as_bytes())
    }

    /// Octets of memory that the message takes.
    pub fn octets(&self) -> usize {
        self.properties.len() + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::{Table, Value};

    fn message(properties: &[u8]) -> MessageRef<'_> {
        MessageRef {
            exchange: b"orders",
            routing_key: b"own",
            properties,
            body: b"body",
            persistent: true,
            priority: 3,
            expiration_ms: Some(40),
        }
    }

    fn burial(routing_key: Option<&str>) -> Burial<'_> {
        Burial {
            cause: Cause::Expired,
            queue: "q",
            now_unix_ms: 1_700_000_000_999,
            exchange: "dlx",
            routing_key,
        }
    }

    /// Headers with CC, delivery mode 2, expiration "40", message id "m".
    fn properties() -> Vec<u8> {
        let mut octets = 0b0011_0001_1000_0000_u16.to_be_bytes().to_vec();
        let cc = Value::Array(Box::new([Value::text("copy")]));
        Table(vec![("CC".into(), cc)]).encode(&mut octets);
        octets.extend_from_slice(&[2, 2, b'4', b'0', 1, b'm']);
        octets
    }

    #[test]
    fn message_keeps_its_keys_unless_the_queue_names_one() {
        let properties = properties();
        let mut letter = Letter::default();
        letter.write(&message(&properties), &burial(None));
        let own: Vec<&[u8]> = vec![b"own", b"copy"];
        assert_eq!(letter.keys().collect::<Vec<_>>(), own);
        letter.write(&message(&properties), &burial(Some("other")));
        let other: Vec<&[u8]> = vec![b"other"];
        assert_eq!(letter.keys().collect::<Vec<_>>(), other);
        let written = letter.message();
        assert_eq!((written.exchange, written.routing_key), (&b"dlx"[..], &b"other"[..]));
        assert_eq!((written.body, written.persistent, written.priority), (&b"body"[..], true, 3));
    }

    #[test]
    fn expiration_is_gone_and_the_other_properties_stay() {
        let properties = properties();
        let mut letter = Letter::default();
        letter.write(&message(&properties), &burial(None));
        let written = letter.message();
        assert_eq!(written.expiration_ms, None);
        assert_eq!(written.properties[..2], 0b0011_0000_1000_0000_u16.to_be_bytes());
        assert!(written.properties.ends_with(&[2, 1, b'm']));
        let headers = Table::decode(letter.headers()).expect("a table");
        let Some(Value::Array(deaths)) = headers.get("x-death") else { panic!("{headers:?}") };
        let Value::Table(death) = &deaths[0] else { panic!("{deaths:?}") };
        assert_eq!(death.get("original-expiration"), Some(&Value::text("40")));
        assert_eq!(death.get("exchange"), Some(&Value::text("orders")));
        assert_eq!(death.get("time"), Some(&Value::Timestamp(1_700_000_000)));
    }

    proptest! {
        /// Clients may put anything into a header table, x-death above all.
        #[test]
        fn whatever_the_headers_are_the_letter_is_well_formed(
            junk in prop::collection::vec(any::<u8>(), 0..60),
            kind in prop::sample::select(b"tbBsuIilLfdDSATFVx".as_slice()),
            name in prop::sample::select(vec!["x-death", "CC", "x-first-death-queue", "h"]),
            cuts in 0_usize..80,
        ) {
            let mut fields = vec![name.len() as u8];
            fields.extend_from_slice(name.as_bytes());
            fields.push(kind);
            if matches!(kind, b'S' | b'A' | b'F' | b'x') {
                fields.extend_from_slice(&(junk.len() as u32).to_be_bytes());
            }
            fields.extend_from_slice(&junk);
            let mut properties = 0b0010_0000_0000_0000_u16.to_be_bytes().to_vec();
            properties.extend_from_slice(&(fields.len() as u32).to_be_bytes());
            properties.extend_from_slice(&fields);
            properties.truncate(properties.len().saturating_sub(cuts));
            let mut letter = Letter::default();
            letter.write(&message(&properties), &burial(None));
            let died = letter.closes_cycle(Cause::Expired, "q");
            let mut deaths = letter.headers();
            deaths = crate::table::field(deaths, b"x-death").expect("it died").octets();
            prop_assert!(died || deaths.is_empty(), "the death is told first");
            prop_assert_eq!(letter.keys().next(), Some(&b"own"[..]));
            let first = letter.message().properties.to_vec();
            letter.write(&message(&first), &burial(None));
            let length = letter.message().properties.len();
            let second = letter.message().properties.to_vec();
            letter.write(&message(&second), &burial(None));
            prop_assert_eq!(letter.message().properties.len(), length, "the same death again");
        }
    }

    #[test]
    fn letter_does_not_go_back_by_itself_to_where_it_died() {
        let mut letter = Letter::default();
        letter.write(&message(&[0, 0]), &burial(None));
        assert!(letter.closes_cycle(Cause::Expired, "q"));
        assert!(!letter.closes_cycle(Cause::Rejected, "q"));
        assert!(!letter.closes_cycle(Cause::Expired, "r"));
    }
}
