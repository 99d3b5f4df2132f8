//! Any octets for a field table: decoding never panics, what decodes, encodes back, and both are as
//! the crate `amq-protocol-types` has them.
#![no_main]

#[path = "../../engine/tests/other_tables/mod.rs"]
mod other_tables;

use amq_protocol_types::generation::gen_field_table;
use amq_protocol_types::parsing::parse_field_table;
use haremq_engine::table::{fields, Table, TableError};
use libfuzzer_sys::fuzz_target;

use other_tables::their_table;

/// Both take the same octets for a table, and for the same one; and we read what the other writes.
fn compare(octets: &[u8]) {
    let mut framed = (octets.len() as u32).to_be_bytes().to_vec();
    framed.extend_from_slice(octets);
    let ours = Table::decode(octets);
    // It knows another letter for 16 bits, and no limit to nesting.
    if let Err(TableError::UnknownType(b'U') | TableError::TooDeep(_)) = ours {
        return;
    }
    let other = parse_field_table(&framed[..]).map(|(_, table)| table);
    let Ok(ours) = ours else { return assert!(other.is_err(), "a table to the other: {other:?}") };
    let other = other.expect("a table to both");
    // Not a number is not equal to itself.
    let shown = format!("{ours:?}");
    if !shown.contains("F64") && !shown.contains("F32") {
        assert_eq!(other, their_table(&ours));
        let (written, _) =
            cookie_factory::r#gen(gen_field_table(&other), Vec::new()).expect("memory");
        let again = Table::decode(&written[4..]).expect("its octets");
        assert_eq!(their_table(&again), other);
    }
}

fuzz_target!(|octets: &[u8]| {
    compare(octets);
    let walked = fields(octets).take_while(Result::is_ok).count();
    let Ok(table) = Table::decode(octets) else { return };
    assert_eq!(walked, table.0.len());

    let mut again = Vec::new();
    table.encode_fields(&mut again);
    assert_eq!(again.len(), octets.len());
    // Only a boolean other than 0 and 1 may have changed.
    assert!(octets.iter().zip(&again).all(|(was, is)| was == is || (*was > 1 && *is == 1)));
    assert_eq!(Table::decode(&again).as_ref(), Ok(&table));

    for (field, (name, value)) in fields(octets).zip(&table.0) {
        let (raw_name, raw_value) = field.expect("a field of a table that decodes");
        assert_eq!(raw_name, name.as_bytes());
        assert_eq!(raw_value.as_integer(), value.as_integer());
        assert_eq!(raw_value.as_str(), value.as_str());
        assert_eq!(raw_value.decode().as_ref(), Ok(value));
        assert!(value.to_string().len() < 100 * octets.len());
    }
});
