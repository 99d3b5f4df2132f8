//! Field tables, from fields of the types that tests need.

use super::Arguments;

/// A field of a table: its name and a long string, a 64-bit number, a boolean, or a list of long strings.
#[derive(Debug, Clone, Copy)]
pub enum Field<'a> {
    Text(&'a str, &'a str),
    Number(&'a str, i64),
    Flag(&'a str, bool),
    List(&'a str, &'a [&'a str]),
}

/// The octets of a table, without its length.
pub fn table(fields: &[Field<'_>]) -> Vec<u8> {
    let mut octets = Arguments::new();
    for field in fields {
        octets = match *field {
            Field::Text(name, text) => octets.shortstr(name).octet(b'S').longstr(text.as_bytes()),
            Field::Number(name, number) => {
                octets.shortstr(name).octet(b'l').raw(&number.to_be_bytes())
            }
            Field::Flag(name, flag) => octets.shortstr(name).octet(b't').octet(u8::from(flag)),
            Field::List(name, texts) => {
                let add = |list: Arguments, text: &&str| list.octet(b'S').longstr(text.as_bytes());
                let list = texts.iter().fold(Arguments::new(), add);
                octets.shortstr(name).octet(b'A').longstr(list.octets())
            }
        };
    }
    octets.octets().to_vec()
}
