use proptest::prelude::*;

use super::*;
use crate::table::{Table, Value};

fn table(fields: &[(&str, Value)]) -> Table {
    Table(fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect())
}

fn octets(table: &Table) -> Vec<u8> {
    let mut octets = Vec::new();
    table.encode_fields(&mut octets);
    octets
}

/// RabbitMQ's comparison of values: numbers with numbers, octets with octets.
fn equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::F64(bits) => Some(f64::from_bits(*bits)),
        Value::Timestamp(seconds) => Some(*seconds as f64),
        other => other.as_integer().map(|integer| integer as f64),
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => match (a, b) {
            (Value::Bytes(a), Value::ByteArray(b)) | (Value::ByteArray(a), Value::Bytes(b)) => {
                a == b
            }
            (a, b) => a == b,
        },
        _ => false,
    }
}

/// Both tables in order of name, then one pass over both, a step at a time.
fn naive(arguments: &Table, headers: &Table) -> bool {
    let mode = arguments.get("x-match").and_then(Value::as_str).unwrap_or("all");
    let (mut pattern, headers) = (arguments.sorted().0, headers.sorted().0);
    pattern.retain(|(name, _)| &**name != "x-match");
    pattern.retain(|(name, _)| !name.starts_with("x-") || mode.ends_with("-with-x"));
    let (mut all, mut any, mut at) = (true, false, 0);
    for (name, wanted) in pattern {
        while headers.get(at).is_some_and(|(header, _)| *header < name) {
            at += 1;
        }
        let holds = match headers.get(at) {
            Some((header, value)) if *header == name => {
                at += 1;
                wanted == Value::Void || equal(&wanted, value)
            }
            _ => false,
        };
        all &= holds;
        any |= holds;
    }
    if mode.starts_with("any") {
        any
    } else {
        all
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0i8..3).prop_map(Value::I8),
        (0i64..3).prop_map(Value::I64),
        (0u32..3).prop_map(Value::U32),
        (0u64..3).prop_map(Value::Timestamp),
        prop::sample::select(vec![0.0, 1.0, 1.5]).prop_map(|v: f64| Value::F64(v.to_bits())),
        any::<bool>().prop_map(Value::Bool),
        prop::sample::select(vec!["", "1", "a"]).prop_map(Value::text),
        Just(Value::ByteArray(b"a"[..].into())),
        Just(Value::Void),
        Just(Value::Array([Value::I32(1)].into())),
        Just(Value::Decimal { scale: 1, value: 1 }),
    ]
}

fn fields() -> impl Strategy<Value = Vec<(&'static str, Value)>> {
    let name = prop::sample::select(vec!["a", "b", "c", "x-a", "x-b"]);
    prop::collection::vec((name, value()), 0..5)
}

fn arguments() -> impl Strategy<Value = Table> {
    let mode =
        prop::option::of(prop::sample::select(vec!["all", "any", "all-with-x", "any-with-x"]));
    (fields(), mode).prop_map(|(mut fields, mode)| {
        fields.extend(mode.map(|mode| ("x-match", Value::text(mode))));
        table(&fields)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finds_what_comparing_each_binding_finds(
        all in prop::collection::vec(arguments(), 1..10),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        messages in prop::collection::vec(fields(), 1..5),
    ) {
        let mut router = Router::headers();
        let mut bindings: Vec<(u16, Table)> = (0..).zip(all).collect();
        for (number, arguments) in &bindings {
            router.insert(b"ignored", arguments, b"", *number);
        }
        for index in removed {
            if !bindings.is_empty() {
                let (number, arguments) = bindings.swap_remove(index.index(bindings.len()));
                router.remove(b"ignored", &arguments, b"", number);
            }
        }
        for message in messages {
            let message = table(&message);
            let mut expected: Vec<u16> =
                bindings.iter().filter(|(_, a)| naive(a, &message)).map(|(n, _)| *n).collect();
            expected.sort_unstable();
            prop_assert_eq!(
                found(&router, b"", Some(&octets(&message))),
                expected,
                "headers {:?}, bindings {:?}",
                message,
                bindings
            );
        }
    }

    #[test]
    fn any_octets_for_headers_are_routed_without_panic(
        headers in prop::collection::vec(any::<u8>(), 0..100)
    ) {
        let mut router = Router::headers();
        router.insert(b"", &table(&[]), b"", 1);
        router.insert(b"", &table(&[("a", Value::Void)]), b"", 2);
        prop_assert!(found(&router, b"", Some(&headers)).contains(&1));
    }
}

#[test]
fn recorded_cases_of_rabbitmq_agree() {
    let (one, two) = (Value::I32(1), Value::I32(2));
    let mode = |text| ("x-match", Value::text(text));
    let (a1, b2) = (("a", one.clone()), ("b", two.clone()));
    let xfoo1 = ("x-foo", one.clone());
    // Name in the recording, arguments of the binding, headers, copies.
    type Fields = Vec<(&'static str, Value)>;
    let cases: Vec<(&str, Fields, Option<Fields>, usize)> = vec![
        ("no_xmatch_subset", vec![a1.clone()], Some(vec![a1.clone(), b2.clone()]), 1),
        ("no_xmatch_missing", vec![a1.clone(), b2.clone()], Some(vec![a1.clone()]), 0),
        ("empty_args_default", vec![], Some(vec![a1.clone()]), 1),
        ("empty_args_all", vec![mode("all")], Some(vec![a1.clone()]), 1),
        ("empty_args_any", vec![mode("any")], Some(vec![a1.clone()]), 0),
        ("empty_args_any_no_headers", vec![mode("any")], None, 0),
        ("any_one", vec![mode("any"), a1.clone(), b2.clone()], Some(vec![b2.clone()]), 1),
        ("any_none", vec![mode("any"), a1.clone()], Some(vec![("a", two.clone())]), 0),
        (
            "x_prefix_ignored_in_all",
            vec![mode("all"), xfoo1.clone(), a1.clone()],
            Some(vec![a1.clone()]),
            1,
        ),
        ("x_only_all", vec![mode("all"), xfoo1.clone()], Some(vec![a1.clone()]), 1),
        ("x_only_any", vec![mode("any"), xfoo1.clone()], Some(vec![xfoo1.clone()]), 0),
        (
            "void_is_presence",
            vec![mode("all"), ("a", Value::Void)],
            Some(vec![("a", Value::I32(77))]),
            1,
        ),
        (
            "void_absent",
            vec![mode("all"), ("a", Value::Void)],
            Some(vec![("b", Value::I32(77))]),
            0,
        ),
        (
            "all_with_x_mismatch",
            vec![mode("all-with-x"), xfoo1.clone()],
            Some(vec![("x-foo", two.clone())]),
            0,
        ),
        ("all_with_x_match", vec![mode("all-with-x"), xfoo1.clone()], Some(vec![xfoo1.clone()]), 1),
        (
            "any_with_x_match",
            vec![mode("any-with-x"), xfoo1.clone(), ("b", one.clone())],
            Some(vec![xfoo1.clone()]),
            1,
        ),
        ("type_sensitive_str_vs_int", vec![("a", Value::text("1"))], Some(vec![a1.clone()]), 0),
        ("int_width", vec![a1.clone()], Some(vec![("a", Value::I64(1))]), 1),
        ("bool_vs_int", vec![("a", Value::Bool(true))], Some(vec![a1.clone()]), 0),
        ("publish_no_headers", vec![a1.clone()], None, 0),
    ];
    for (name, arguments, headers, copies) in cases {
        let mut router = Router::headers();
        router.insert(b"", &table(&arguments), b"", 7);
        let headers = headers.map(|headers| octets(&table(&headers)));
        assert_eq!(found(&router, b"", headers.as_deref()).len(), copies, "{name}");
    }
}

#[test]
fn a_message_with_very_many_headers_is_routed_by_all_of_them() {
    let mut router = Router::headers();
    router.insert(b"", &table(&[("h99", Value::I32(99)), ("h0", Value::Void)]), b"", 1);
    router.insert(b"", &table(&[("h100", Value::Void)]), b"", 2);
    let names: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
    let headers: Vec<(&str, Value)> =
        names.iter().zip(0..).map(|(name, n)| (&**name, Value::I32(n))).collect();
    assert_eq!(found(&router, b"", Some(&octets(&table(&headers)))), [1]);
}

#[test]
fn bindings_that_ask_the_same_share_their_check_and_not_their_life() {
    let mut router = Router::headers();
    let arguments = table(&[("a", Value::I32(1))]);
    let headers = octets(&arguments);
    router.insert(b"k1", &arguments, b"", 1);
    router.insert(b"k2", &arguments, b"", 1);
    router.insert(b"", &arguments, b"", 2);
    router.remove(b"k1", &arguments, b"", 1);
    assert_eq!(found(&router, b"", Some(&headers)), [1, 2]);
    router.remove(b"k2", &arguments, b"", 1);
    assert_eq!(found(&router, b"", Some(&headers)), [2]);
    router.remove(b"", &arguments, b"", 2);
    assert_eq!(found(&router, b"", Some(&headers)), []);
}
