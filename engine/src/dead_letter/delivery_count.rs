//! The x-delivery-count header: how often a message has come back, told with each delivery from a
//! queue that has a delivery limit (behaviour B22, I27). Pure.

use crate::properties::PropertyList;

const NAME: &[u8] = b"x-delivery-count";

/// Writes `properties` with that count into `out`, which is cleared first. A header of that name
/// is replaced where it stands.
pub fn with_delivery_count(properties: &[u8], count: u32, out: &mut Vec<u8>) {
    out.clear();
    let count = i64::from(count).to_be_bytes();
    PropertyList::read(properties).write_with(out, NAME, b'l', &count);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    fn headers_of(properties: &[u8]) -> Table {
        Table::decode(PropertyList::read(properties).headers()).expect("a table")
    }

    #[test]
    fn the_count_is_added_once_and_replaced_after_that() {
        let mut first = Vec::new();
        with_delivery_count(&[0x10, 0, 2], 0, &mut first);
        let zero = Table(vec![("x-delivery-count".into(), Value::I64(0))]);
        assert_eq!(headers_of(&first), zero);
        assert_eq!(first.last(), Some(&2), "the delivery mode stays");
        let mut second = Vec::new();
        with_delivery_count(&first, 7, &mut second);
        let seven = Table(vec![("x-delivery-count".into(), Value::I64(7))]);
        assert_eq!(headers_of(&second), seven);
        assert_eq!(first.len(), second.len());
    }
}
