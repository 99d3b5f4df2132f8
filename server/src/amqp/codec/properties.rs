//! The content properties of class basic: what the broker must know of them, found in one walk
//! over the property list without copying (behaviour A108: everything else passes unread).

use std::ops::Range;

use haremq_engine::message::EXPIRY_MAX_MS;

use super::reader::{Malformed, Reader, ShortStr, TableOctets};

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
/// Bit 1 has no property, bit 0 would announce a second word of flags: class basic has neither.
const UNDEFINED: u16 = 0b11;

/// The properties that routing and queueing look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties<'a> {
    /// The fields of the header table, and where the table with its length prefix stands in the
    /// property octets.
    pub(crate) headers: Option<(&'a [u8], Range<usize>)>,
    pub(crate) delivery_mode: Option<u8>,
    pub(crate) priority: Option<u8>,
    /// The value, and where it stands with its length octet.
    pub(crate) reply_to: Option<(&'a [u8], Range<usize>)>,
    pub(crate) expiration: Option<&'a [u8]>,
    pub(crate) user_id: Option<&'a [u8]>,
}

impl<'a> Properties<'a> {
    /// Reads property flags and list, as they follow the body size in a content header.
    #[inline]
    pub(crate) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let flags: u16 = reader.take()?;
        let mut found = Properties::default();
        if flags == 0 {
            return reader.finish().map(|()| found);
        }
        if flags & UNDEFINED != 0 {
            return Err(Malformed::Shape);
        }
        let total = octets.len();
        let skip_short = |reader: &mut Reader<'a>, flag: u16| -> Result<(), Malformed> {
            if flags & flag != 0 {
                reader.take::<ShortStr<'a>>()?;
            }
            Ok(())
        };
        skip_short(&mut reader, CONTENT_TYPE)?;
        skip_short(&mut reader, CONTENT_ENCODING)?;
        if flags & HEADERS != 0 {
            let start = total - reader.remaining();
            let TableOctets(fields) = reader.take()?;
            found.headers = Some((fields, start..total - reader.remaining()));
        }
        if flags & DELIVERY_MODE != 0 {
            found.delivery_mode = Some(reader.take()?);
        }
        if flags & PRIORITY != 0 {
            found.priority = Some(reader.take()?);
        }
        skip_short(&mut reader, CORRELATION_ID)?;
        if flags & REPLY_TO != 0 {
            let start = total - reader.remaining();
            let ShortStr(value) = reader.take()?;
            found.reply_to = Some((value, start..total - reader.remaining()));
        }
        if flags & EXPIRATION != 0 {
            found.expiration = Some(reader.take::<ShortStr<'a>>()?.0);
        }
        skip_short(&mut reader, MESSAGE_ID)?;
        if flags & TIMESTAMP != 0 {
            reader.take::<u64>()?;
        }
        skip_short(&mut reader, TYPE)?;
        if flags & USER_ID != 0 {
            found.user_id = Some(reader.take::<ShortStr<'a>>()?.0);
        }
        skip_short(&mut reader, APP_ID)?;
        skip_short(&mut reader, CLUSTER_ID)?;
        reader.finish()?;
        Ok(found)
    }

    /// Delivery mode 2; every other one is transient (behaviour A109).
    #[inline]
    pub(crate) fn is_persistent(&self) -> bool {
        self.delivery_mode == Some(2)
    }
}

/// Why an `expiration` property is not a number of milliseconds (behaviour B24); shown as the
/// Erlang term that RabbitMQ prints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadExpiration {
    #[error("no_integer")]
    NoInteger,
    #[error("{{leftover_string,\"{0}\"}}")]
    Leftover(String),
    #[error("{{value_negative,{0}}}")]
    Negative(String),
    #[error("{{value_too_large,{0}}}")]
    TooLarge(String),
}

/// Reads an `expiration` property: optional sign, digits, nothing else.
pub(crate) fn expiration_ms(value: &[u8]) -> Result<u64, BadExpiration> {
    let (negative, unsigned) = match value {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, value),
    };
    let digits = unsigned.iter().take_while(|o| o.is_ascii_digit()).count();
    let (number, rest) = unsigned.split_at(digits);
    if number.is_empty() {
        return Err(BadExpiration::NoInteger);
    }
    if !rest.is_empty() {
        return Err(BadExpiration::Leftover(String::from_utf8_lossy(rest).into_owned()));
    }
    let text = String::from_utf8_lossy(number);
    let significant = match text.trim_start_matches('0') {
        "" => "0",
        other => other,
    };
    if negative && significant != "0" {
        return Err(BadExpiration::Negative(format!("-{significant}")));
    }
    match significant.parse::<u64>() {
        Ok(ms) if ms <= EXPIRY_MAX_MS => Ok(ms),
        _ => Err(BadExpiration::TooLarge(significant.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(out: &mut Vec<u8>, value: &[u8]) {
        out.push(value.len() as u8);
        out.extend_from_slice(value);
    }

    #[test]
    fn every_property_is_walked_in_order() {
        let mut octets = 0xfffcu16.to_be_bytes().to_vec();
        short(&mut octets, b"text/plain");
        short(&mut octets, b"utf-8");
        octets.extend_from_slice(&[0, 0, 0, 4, 1, b'a', b't', 1]);
        octets.extend_from_slice(&[2, 9]);
        short(&mut octets, b"correlation");
        short(&mut octets, b"reply");
        short(&mut octets, b"60000");
        short(&mut octets, b"message");
        octets.extend_from_slice(&7u64.to_be_bytes());
        short(&mut octets, b"type");
        short(&mut octets, b"guest");
        short(&mut octets, b"app");
        short(&mut octets, b"cluster");
        let found = Properties::read(&octets).expect("well formed");
        let (fields, range) = found.headers.clone().expect("headers");
        assert_eq!(fields, &[1, b'a', b't', 1]);
        assert_eq!(&octets[range], &[0, 0, 0, 4, 1, b'a', b't', 1]);
        let (reply_to, range) = found.reply_to.clone().expect("reply-to");
        assert_eq!((reply_to, &octets[range]), (&b"reply"[..], &b"\x05reply"[..]));
        assert_eq!(found.delivery_mode, Some(2));
        assert_eq!(found.priority, Some(9));
        assert_eq!(found.expiration, Some(&b"60000"[..]));
        assert_eq!(found.user_id, Some(&b"guest"[..]));
        for cut in 2..octets.len() {
            assert_eq!(Properties::read(&octets[..cut]), Err(Malformed::Shape), "cut at {cut}");
        }
    }

    #[test]
    fn octets_beyond_the_announced_properties_are_malformed() {
        assert_eq!(Properties::read(&[0, 0]), Ok(Properties::default()));
        assert_eq!(Properties::read(&[0, 0, 1]), Err(Malformed::Shape));
        assert_eq!(Properties::read(&[0, 1]), Err(Malformed::Shape));
        assert_eq!(Properties::read(&[]), Err(Malformed::Shape));
    }

    #[test]
    fn expirations_are_read_as_rabbitmq_reads_them() {
        assert_eq!(expiration_ms(b"0"), Ok(0));
        assert_eq!(expiration_ms(b"+5"), Ok(5));
        assert_eq!(expiration_ms(b"4294967296"), Ok(4_294_967_296));
        assert_eq!(expiration_ms(b"315360000000"), Ok(315_360_000_000));
        let text = |value: &[u8]| expiration_ms(value).map_err(|e| e.to_string());
        assert_eq!(text(b"abc"), Err("no_integer".into()));
        assert_eq!(text(b""), Err("no_integer".into()));
        assert_eq!(text(b"-1"), Err("{value_negative,-1}".into()));
        assert_eq!(text(b"12x"), Err("{leftover_string,\"x\"}".into()));
        assert_eq!(text(b"315360000001"), Err("{value_too_large,315360000001}".into()));
        assert_eq!(
            text(b"99999999999999999999999"),
            Err("{value_too_large,99999999999999999999999}".into())
        );
    }
}
