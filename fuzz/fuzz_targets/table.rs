//! Any octets for a field table: decoding never panics, and what decodes, encodes back.
#![no_main]

use haremq_engine::table::{fields, Table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
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
