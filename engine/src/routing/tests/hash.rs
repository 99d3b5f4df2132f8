//! Exchanges that give each message to one destination.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::routing::{weight, BadWeight, HashOn};
use crate::table::{Table, Value};

type Bindings = [(&'static str, &'static str, u16)];

fn bind(router: &mut Router<u16>, bindings: &Bindings) {
    for (key, name, destination) in bindings {
        router.insert(key.as_bytes(), &Table::default(), name.as_bytes(), *destination);
    }
}

fn one(router: &Router<u16>, subject: &Subject<'_>) -> Option<u16> {
    let mut all = Vec::new();
    router.route(subject, &mut Scratch::default(), |list| all.extend_from_slice(list));
    assert!(all.len() <= 1, "{all:?}");
    all.pop()
}

fn by_key(router: &Router<u16>, key: &str) -> Option<u16> {
    one(router, &Subject { keys: &[key.as_bytes()], ..Subject::default() })
}

/// Where a thousand keys go.
fn spread(router: &Router<u16>) -> Vec<Option<u16>> {
    (0..1000).map(|number| by_key(router, &format!("key.{number}"))).collect()
}

fn counts(spread: &[Option<u16>]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for destination in spread.iter().flatten() {
        *counts.entry(*destination).or_default() += 1;
    }
    counts
}

const THREE: &Bindings = &[("1", "a", 1), ("1", "b", 2), ("2", "c", 3)];

#[test]
fn messages_spread_in_proportion_to_the_weights() {
    let mut router = Router::consistent_hash(HashOn::Key);
    bind(&mut router, THREE);
    let counts = counts(&spread(&router));
    assert_eq!(counts.values().sum::<usize>(), 1000, "none is lost");
    assert!((180..320).contains(&counts[&1]), "{counts:?}");
    assert!((180..320).contains(&counts[&2]), "{counts:?}");
    assert!((430..570).contains(&counts[&3]), "{counts:?}");
}

#[test]
fn the_choice_does_not_depend_on_the_order_of_binding() {
    for new in [|| Router::consistent_hash(HashOn::Key), Router::modulus_hash] {
        let (mut forth, mut back) = (new(), new());
        bind(&mut forth, THREE);
        for binding in THREE.iter().rev() {
            bind(&mut back, std::slice::from_ref(binding));
        }
        assert_eq!(spread(&forth), spread(&back));
    }
}

#[test]
fn a_destination_that_comes_or_goes_moves_only_what_it_gets_or_had() {
    let mut router = Router::consistent_hash(HashOn::Key);
    bind(&mut router, THREE);
    let before = spread(&router);
    router.insert(b"1", &Table::default(), b"d", 4);
    let with = spread(&router);
    for (old, new) in before.iter().zip(&with) {
        assert!(old == new || *new == Some(4), "{old:?} {new:?}");
    }
    assert!(with.contains(&Some(4)));
    router.remove(b"1", &Table::default(), b"d", 4);
    assert_eq!(spread(&router), before);
}

#[test]
fn a_heavy_weight_takes_no_more_memory_than_a_light_one() {
    let mut router = Router::consistent_hash(HashOn::Key);
    bind(&mut router, &[("4294967295", "whale", 1), ("1", "fish", 2)]);
    let counts = counts(&spread(&router));
    assert_eq!(counts.get(&1), Some(&1000), "and it was over at once: {counts:?}");
}

#[test]
fn two_bindings_of_one_destination_give_one_copy_until_both_are_gone() {
    for mut router in [Router::consistent_hash(HashOn::Key), Router::modulus_hash()] {
        bind(&mut router, &[("1", "a", 1), ("5", "a", 1)]);
        assert_eq!(by_key(&router, "k"), Some(1));
        router.remove(b"5", &Table::default(), b"a", 1);
        assert_eq!(by_key(&router, "k"), Some(1));
        router.remove(b"1", &Table::default(), b"a", 1);
        assert_eq!(by_key(&router, "k"), None);
    }
}

#[test]
fn a_queue_and_an_exchange_of_one_name_are_two_destinations() {
    let mut router = Router::modulus_hash();
    bind(&mut router, &[("", "same", 1), ("", "same", 2)]);
    assert_eq!(counts(&spread(&router)).len(), 2);
}

#[test]
fn hash_header_and_hash_property_take_the_place_of_the_key() {
    let arguments = |name: &str, value: &str| Table(vec![(name.into(), Value::text(value))]);
    let mut router = Router::consistent_hash(HashOn::of(&arguments("hash-header", "user")));
    bind(&mut router, THREE);
    let of_header = |key: &[u8], value: Option<Value>| {
        let mut headers = Vec::new();
        if let Some(value) = value {
            Table(vec![("user".into(), value)]).encode_fields(&mut headers);
        }
        one(&router, &Subject { keys: &[key], headers: Some(&headers), properties: &[] })
    };
    let users: Vec<_> = (0..60).map(|n| of_header(b"k", Some(Value::I32(n)))).collect();
    assert_eq!(counts(&users).len(), 3, "users spread though the key is one");
    for (number, user) in (0..60).zip(&users) {
        assert_eq!(of_header(b"other", Some(Value::I64(number))), *user, "width does not count");
    }
    assert_eq!(of_header(b"a", None), of_header(b"b", None), "those without have one place");

    let mut router = Router::consistent_hash(HashOn::of(&arguments("hash-property", "message_id")));
    bind(&mut router, THREE);
    let of_id = |id: u8| {
        let properties = [0, 0x80, 1, id];
        one(&router, &Subject { keys: &[b"k"], headers: None, properties: &properties })
    };
    assert_eq!(counts(&(0..60).map(of_id).collect::<Vec<_>>()).len(), 3);
    assert!(!router.is_repeatable(), "the next message has another id");
}

#[test]
fn weights_are_whole_numbers_above_zero() {
    assert_eq!((weight(b"1"), weight(b"+007")), (Ok(1), Ok(7)));
    assert_eq!(weight(b"4294967295"), Ok(u32::MAX));
    for bad in ["", "x", "1.5", "1 ", "-", "0x1"] {
        assert_eq!(weight(bad.as_bytes()), Err(BadWeight::NotAnInteger), "{bad}");
    }
    for bad in ["0", "-1", "-0"] {
        assert_eq!(weight(bad.as_bytes()), Err(BadWeight::NotPositive), "{bad}");
    }
    assert_eq!(weight(b"99999999999999999999"), Err(BadWeight::TooLarge));
}

#[test]
fn a_random_exchange_gives_each_message_to_one_destination_and_none_is_left_out() {
    let mut router = Router::random();
    let mut scratch = Scratch::default();
    scratch.seed(7);
    let subject = Subject { keys: &[b"k"], ..Subject::default() };
    router.route(&subject, &mut scratch, |list| assert_eq!(list.len(), 0));
    bind(&mut router, THREE);
    let mut counts = [0; 3];
    for _ in 0..3000 {
        let mut copies = 0;
        router.route(&subject, &mut scratch, |list| {
            copies += list.len();
            list.iter().for_each(|destination| counts[usize::from(*destination) - 1] += 1);
        });
        assert_eq!(copies, 1);
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    assert!(!router.is_repeatable());
}

proptest! {
    #[test]
    fn a_modulus_hash_is_the_same_whatever_was_bound_and_unbound_before(
        steps in prop::collection::vec((any::<bool>(), 0_u16..8), 0..60),
        key in "[a-z.]{0,12}",
    ) {
        let (none, mut bound) = (Table::default(), BTreeMap::<u16, u32>::new());
        let (mut router, name) = (Router::modulus_hash(), |d: u16| format!("queue {d}"));
        for (insert, destination) in steps {
            let name = name(destination);
            if insert {
                router.insert(b"", &none, name.as_bytes(), destination);
                *bound.entry(destination).or_default() += 1;
            } else if let Some(count) = bound.get_mut(&destination) {
                router.remove(b"", &none, name.as_bytes(), destination);
                *count -= 1;
                if *count == 0 {
                    bound.remove(&destination);
                }
            }
        }
        let mut fresh = Router::modulus_hash();
        for destination in bound.keys() {
            fresh.insert(b"", &none, name(*destination).as_bytes(), *destination);
        }
        prop_assert_eq!(by_key(&router, &key), by_key(&fresh, &key));
        prop_assert_eq!(by_key(&router, &key).is_some(), !bound.is_empty());
    }
}
