//! Field tables against another implementation of them, that of the crate `amq-protocol-types`.

mod other_tables;

use amq_protocol_types::generation::gen_field_table;
use amq_protocol_types::parsing::parse_field_table;
use haremq_engine::table::{Table, TableError, Value};
use proptest::prelude::*;

use other_tables::their_table;

fn with_length(fields: &[u8]) -> Vec<u8> {
    let mut octets = (fields.len() as u32).to_be_bytes().to_vec();
    octets.extend_from_slice(fields);
    octets
}

/// Not a number is not equal to itself.
fn no_nan(bits: u64) -> Value {
    let number = f64::from_bits(bits);
    Value::F64(if number.is_nan() { 0 } else { bits })
}

fn value() -> impl Strategy<Value = Value> {
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
        any::<u64>().prop_map(no_nan),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|v| Value::Bytes(v.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|v| Value::ByteArray(v.into())),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|v| Value::Array(v.into())),
            table(inner).prop_map(Value::Table),
        ]
    })
}

fn table(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Table> {
    prop::collection::vec(("[a-z\u{e9}.-]{0,8}", value), 0..6)
        .prop_map(|fields| Table(fields.into_iter().map(|(n, v)| (n.into(), v)).collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_we_write_the_other_reads_as_the_same(table in table(value())) {
        let mut octets = Vec::new();
        table.encode(&mut octets);
        let (rest, read) = parse_field_table(&octets[..]).expect("our octets");
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, their_table(&table));
    }

    #[test]
    fn what_the_other_writes_we_read_as_the_same(table in table(value())) {
        let written = their_table(&table);
        let octets = cookie_factory::r#gen(gen_field_table(&written), Vec::new());
        let (octets, length) = octets.expect("memory takes octets");
        prop_assert_eq!(length as usize, octets.len());
        let read = Table::decode(&octets[4..]).expect("its octets");
        prop_assert_eq!(their_table(&read), written);
    }

    #[test]
    fn we_take_for_a_table_what_the_other_does(
        table in table(value()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut fields = Vec::new();
        table.encode_fields(&mut fields);
        if !fields.is_empty() {
            for (at, octet) in changes {
                let at = at.index(fields.len());
                fields[at] = octet;
            }
            if cuts {
                fields.truncate(cut.index(fields.len()));
            }
        }
        let octets = with_length(&fields);
        let other = parse_field_table(&octets[..]).map(|(_, table)| table);
        match Table::decode(&fields) {
            Ok(ours) => {
                let other = other.expect("a table to both");
                // Not a number, which may have been made, is not equal to itself.
                let shown = format!("{ours:?}");
                let same = other == their_table(&ours) || shown.contains("F64") || shown.contains("F32");
                prop_assert!(same, "{} {:?}", shown, other);
            }
            // It knows another letter for 16 bits, and no limit to nesting.
            Err(TableError::UnknownType(b'U') | TableError::TooDeep(_)) => {}
            Err(error) => prop_assert!(other.is_err(), "{}: {:?}", error, other),
        }
    }
}
