use proptest::prelude::*;

use super::*;

fn fields_of(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Table::decode(octets).expect("a table").encode_fields(&mut out);
    out
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        any::<u32>().prop_map(Value::F32),
        any::<u64>().prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| Value::Bytes(v.into())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| Value::ByteArray(v.into())),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| Value::Array(v.into())),
            table_of(inner).prop_map(Value::Table),
        ]
    })
}

fn table_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Table> {
    prop::collection::vec(("[a-z\u{e9}.-]{0,8}", value), 0..5)
        .prop_map(|fields| Table(fields.into_iter().map(|(n, v)| (n.into(), v)).collect()))
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_to_the_same_table(table in table_of(any_value())) {
        let mut octets = Vec::new();
        table.encode(&mut octets);
        let length = u32::from_be_bytes([octets[0], octets[1], octets[2], octets[3]]) as usize;
        prop_assert_eq!(length, octets.len() - 4);
        prop_assert_eq!(Table::decode(&octets[4..]).expect("own encoding"), table);
        prop_assert_eq!(fields_of(&octets[4..]), &octets[4..]);
    }

    #[test]
    fn arbitrary_octets_never_panic_and_round_trip_when_they_are_a_table(
        octets in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        if let Ok(table) = Table::decode(&octets) {
            let mut again = Vec::new();
            table.encode_fields(&mut again);
            prop_assert_eq!(Table::decode(&again), Ok(table));
        }
    }

    #[test]
    fn every_cut_of_a_table_is_refused_or_a_whole_number_of_fields(table in table_of(any_value())) {
        let mut octets = Vec::new();
        table.encode_fields(&mut octets);
        for end in 0..octets.len() {
            if let Ok(part) = Table::decode(&octets[..end]) {
                prop_assert_eq!(&part.0[..], &table.0[..part.0.len()]);
                prop_assert!(part.0.len() < table.0.len());
            }
        }
    }

    #[test]
    fn the_borrowing_iterator_sees_the_same_fields_as_the_decoder(table in table_of(any_value())) {
        let mut octets = Vec::new();
        table.encode_fields(&mut octets);
        let raw: Vec<_> = fields(&octets).map(|f| f.expect("own encoding")).collect();
        prop_assert_eq!(raw.len(), table.0.len());
        for ((name, raw), (expected_name, expected)) in raw.iter().zip(&table.0) {
            prop_assert_eq!(*name, expected_name.as_bytes());
            prop_assert_eq!(&raw.decode().expect("own encoding"), expected);
            prop_assert_eq!(raw.as_integer(), expected.as_integer());
            prop_assert_eq!(raw.as_str(), expected.as_str());
            prop_assert_eq!(raw.as_bool(), expected.as_bool());
            prop_assert_eq!(raw.type_name(), expected.type_name());
            let (kind, payload) = raw::encoded(expected);
            prop_assert_eq!(RawValue::new(kind, &payload), *raw);
        }
        for (name, _) in &table.0 {
            let found = field(&octets, name.as_bytes()).expect("present").decode().ok();
            prop_assert_eq!(found.as_ref(), table.get(name));
        }
    }
}

#[test]
fn every_type_has_its_wire_octets_and_rabbitmqs_name() {
    let cases: &[(Value, &[u8], &str)] = &[
        (Value::Bool(true), b"t\x01", "bool"),
        (Value::I8(-2), b"b\xfe", "byte"),
        (Value::U8(254), b"B\xfe", "unsignedbyte"),
        (Value::I16(-2), b"s\xff\xfe", "short"),
        (Value::U16(2), b"u\x00\x02", "unsignedshort"),
        (Value::I32(-2), b"I\xff\xff\xff\xfe", "signedint"),
        (Value::U32(2), b"i\x00\x00\x00\x02", "unsignedint"),
        (Value::I64(-2), b"l\xff\xff\xff\xff\xff\xff\xff\xfe", "long"),
        (Value::U64(2), b"L\x00\x00\x00\x00\x00\x00\x00\x02", "long"),
        (Value::F32(1.5f32.to_bits()), b"f\x3f\xc0\x00\x00", "float"),
        (Value::F64(1.5f64.to_bits()), b"d\x3f\xf8\x00\x00\x00\x00\x00\x00", "double"),
        (Value::Decimal { scale: 2, value: 314 }, b"D\x02\x00\x00\x01\x3a", "decimal"),
        (Value::text("hi"), b"S\x00\x00\x00\x02hi", "longstr"),
        (Value::Array([Value::Void].into()), b"A\x00\x00\x00\x01V", "array"),
        (Value::Timestamp(3), b"T\x00\x00\x00\x00\x00\x00\x00\x03", "timestamp"),
        (
            Value::Table(Table(vec![("k".into(), Value::Bool(false))])),
            b"F\x00\x00\x00\x04\x01kt\x00",
            "table",
        ),
        (Value::Void, b"V", "void"),
        (Value::ByteArray([1, 2].into()), b"x\x00\x00\x00\x02\x01\x02", "binary"),
    ];
    for (value, octets, name) in cases {
        let mut expected = vec![1, b'a'];
        expected.extend_from_slice(octets);
        let mut encoded = Vec::new();
        Table(vec![("a".into(), value.clone())]).encode_fields(&mut encoded);
        assert_eq!(encoded, expected, "{name}");
        assert_eq!(Table::decode(&expected).expect(name).get("a"), Some(value));
        assert_eq!(value.type_name(), *name);
    }
}

#[test]
fn a_declared_length_takes_no_memory() {
    assert_eq!(Table::decode(b"\x01aS\xff\xff\xff\xffx"), Err(TableError::Truncated));
    assert_eq!(Table::decode(b"\x01aA\x7f\xff\xff\xffV"), Err(TableError::Truncated));
    assert_eq!(Table::decode(b"\x09a"), Err(TableError::Truncated));
    assert_eq!(Table::decode(b"\x01a"), Err(TableError::Truncated));
}

#[test]
fn unknown_types_and_broken_names_are_named() {
    assert_eq!(Table::decode(b"\x01az"), Err(TableError::UnknownType(b'z')));
    assert_eq!(Table::decode(b"\x01\xffV"), Err(TableError::NameNotUtf8));
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| {
        let mut value = Value::Void;
        for level in 1..levels {
            value = if level % 2 == 0 {
                Value::Array([value].into())
            } else {
                Value::Table(Table(vec![("a".into(), value)]))
            };
        }
        let mut octets = Vec::new();
        Table(vec![("a".into(), value)]).encode_fields(&mut octets);
        Table::decode(&octets)
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DEPTH + 1), Err(TableError::TooDeep(MAX_DEPTH)));
}

#[test]
fn the_walk_ends_after_an_error() {
    let mut walk = fields(b"\x01az\x01bV");
    assert_eq!(walk.next(), Some(Err(TableError::UnknownType(b'z'))));
    assert_eq!(walk.next(), None);
}

#[test]
fn unsigned_64_bits_are_read_as_signed_like_rabbitmq_does() {
    assert_eq!(Value::U64(u64::MAX).as_integer(), Some(-1));
    assert_eq!(RawValue::new(b'L', &[0xff; 8]).as_integer(), Some(-1));
    assert_eq!(Value::Timestamp(1).as_integer(), None);
}

#[test]
fn a_name_too_long_for_the_wire_is_cut_between_characters() {
    let name = "\u{e9}".repeat(200);
    let mut octets = Vec::new();
    Table(vec![(name.clone().into(), Value::Void)]).encode_fields(&mut octets);
    let back = Table::decode(&octets).expect("own encoding");
    assert_eq!(&*back.0[0].0, &name[..254]);
}

#[test]
fn values_read_like_rabbitmqs_error_texts() {
    assert_eq!(Value::text("a b").to_string(), "a b");
    assert_eq!(Term(&Value::text("so\"me")).to_string(), "<<\"so\\\"me\">>");
    assert_eq!(Term(&Value::Bytes([1, 255].into())).to_string(), "<<1,255>>");
    assert_eq!(Term(&Value::text("")).to_string(), "<<>>");
    assert_eq!(Value::F64(1e30f64.to_bits()).to_string(), "1.0e30");
    for (number, text) in
        [(2.0, "2.0"), (100.0, "100.0"), (1000.0, "1.0e3"), (1234.5, "1234.5"), (0.001, "0.001")]
    {
        assert_eq!(Value::F64(f64::to_bits(number)).to_string(), text);
    }
    assert_eq!(Value::U64(u64::MAX).to_string(), "-1");
    let array = Value::Array([Value::text("x"), Value::I32(1), Value::Void].into());
    assert_eq!(array.to_string(), "[{longstr,<<\"x\">>},{signedint,1},{void,undefined}]");
    let table = Value::Table(Table(vec![("k".into(), Value::Bool(true))]));
    assert_eq!(table.to_string(), "[{<<\"k\">>,bool,true}]");
}
