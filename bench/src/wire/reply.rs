//! The methods a broker sends, decoded into an enum. Pure.
//!
//! basic.deliver has its own reader in [`Delivery`], since it is read once per message and must not allocate.

use super::table::Table;
use super::WireError;

/// A code and a text: why the broker closed something or returned a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Reply code, such as 404.
    pub(crate) code: u16,
    /// Reply text, such as `NOT_FOUND - no queue 'x' in vhost '/'`.
    pub(crate) text: String,
}

/// A method from the broker.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// connection.start
    Start {
        /// product, version, capabilities
        properties: Table,
        /// Names of SASL mechanisms, separated by blanks.
        mechanisms: String,
    },
    /// connection.secure: a challenge, which PLAIN does not have.
    Secure,
    /// connection.tune
    Tune {
        /// Highest channel number, 0 for no limit.
        channel_max: u16,
        /// Longest frame in octets, 0 for no limit.
        frame_max: u32,
    },
    /// connection.open-ok
    OpenOk,
    /// connection.close
    ConnectionClose(Reason),
    /// connection.close-ok
    ConnectionCloseOk,
    /// connection.blocked, with the broker's reason
    Blocked(String),
    /// connection.unblocked
    Unblocked,
    /// channel.open-ok
    ChannelOpenOk,
    /// channel.flow: the broker asks to stop (false) or go on (true)
    Flow(bool),
    /// channel.close
    ChannelClose(Reason),
    /// channel.close-ok
    ChannelCloseOk,
    /// exchange.declare-ok
    ExchangeDeclareOk,
    /// exchange.delete-ok
    ExchangeDeleteOk,
    /// queue.declare-ok
    QueueDeclareOk {
        /// Messages ready for delivery.
        messages: u32,
    },
    /// queue.bind-ok
    QueueBindOk,
    /// queue.delete-ok
    QueueDeleteOk,
    /// basic.qos-ok
    QosOk,
    /// basic.consume-ok
    ConsumeOk,
    /// basic.cancel: the broker ended a consumer
    Cancel,
    /// basic.return; header and body follow
    Return(Reason),
    /// basic.ack of publishes
    Ack {
        /// Publish number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
    /// basic.nack of publishes
    Nack {
        /// Publish number.
        tag: u64,
        /// All up to it.
        multiple: bool,
    },
    /// confirm.select-ok
    SelectOk,
    /// Anything else.
    Other(u16, u16),
}

impl Reply {
    /// Decodes the payload of a method frame.
    pub(crate) fn decode(payload: &[u8]) -> Result<Reply, WireError> {
        let mut reader = Reader(payload);
        let class = reader.u16()?;
        let method = reader.u16()?;
        Ok(match (class, method) {
            (10, 10) => {
                reader.take(2)?;
                let properties = reader.table()?;
                Reply::Start { properties, mechanisms: reader.long_text()? }
            }
            (10, 20) => Reply::Secure,
            (10, 30) => Reply::Tune { channel_max: reader.u16()?, frame_max: reader.u32()? },
            (10, 41) => Reply::OpenOk,
            (10, 50) => Reply::ConnectionClose(reader.reason()?),
            (10, 51) => Reply::ConnectionCloseOk,
            (10, 60) => Reply::Blocked(reader.short_text()?),
            (10, 61) => Reply::Unblocked,
            (20, 11) => Reply::ChannelOpenOk,
            (20, 20) => Reply::Flow(reader.u8()? & 1 == 1),
            (20, 40) => Reply::ChannelClose(reader.reason()?),
            (20, 41) => Reply::ChannelCloseOk,
            (40, 11) => Reply::ExchangeDeclareOk,
            (40, 21) => Reply::ExchangeDeleteOk,
            (50, 11) => {
                reader.short_text()?;
                Reply::QueueDeclareOk { messages: reader.u32()? }
            }
            (50, 21) => Reply::QueueBindOk,
            (50, 41) => Reply::QueueDeleteOk,
            (60, 11) => Reply::QosOk,
            (60, 21) => Reply::ConsumeOk,
            (60, 30) => Reply::Cancel,
            (60, 50) => Reply::Return(reader.reason()?),
            (60, 80) => Reply::Ack { tag: reader.u64()?, multiple: reader.u8()? & 1 == 1 },
            (60, 120) => Reply::Nack { tag: reader.u64()?, multiple: reader.u8()? & 1 == 1 },
            (85, 11) => Reply::SelectOk,
            (class, method) => Reply::Other(class, method),
        })
    }
}

/// What a consumer needs of a basic.deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Number to acknowledge it by.
    pub(crate) tag: u64,
    /// Delivered before, perhaps.
    pub(crate) redelivered: bool,
}

impl Delivery {
    /// Reads the payload of a method frame if it is a basic.deliver.
    #[inline]
    pub(crate) fn read(payload: &[u8]) -> Result<Option<Delivery>, WireError> {
        let Some((&[0, 60, 0, 60, name_length], rest)) = payload.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let from = usize::from(name_length);
        let fields = rest.get(from..from + 9).ok_or(WireError::Truncated)?;
        let (tag, bits) = fields.split_first_chunk::<8>().ok_or(WireError::Truncated)?;
        Ok(Some(Delivery { tag: u64::from_be_bytes(*tag), redelivered: bits != [0] }))
    }
}

/// Reads elementary types off the front of a payload.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[octet]| octet)
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_be_bytes)
    }

    fn short_text(&mut self) -> Result<String, WireError> {
        let length = usize::from(self.u8()?);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn long_text(&mut self) -> Result<String, WireError> {
        let length = self.u32()? as usize;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn table(&mut self) -> Result<Table, WireError> {
        let (table, rest) = Table::decode(self.0)?;
        self.0 = rest;
        Ok(table)
    }

    fn reason(&mut self) -> Result<Reason, WireError> {
        Ok(Reason { code: self.u16()?, text: self.short_text()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_carries_code_and_text() {
        let payload = b"\x00\x14\x00\x28\x01\x94\x09NOT_FOUND\x00\x32\x00\x0a";
        let reason = Reason { code: 404, text: "NOT_FOUND".into() };
        assert_eq!(Reply::decode(payload), Ok(Reply::ChannelClose(reason)));
    }

    #[test]
    fn acks_and_nacks_of_publishes() {
        let ack = b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x09\x01";
        assert_eq!(Reply::decode(ack), Ok(Reply::Ack { tag: 9, multiple: true }));
        let nack = b"\x00\x3c\x00\x78\x00\x00\x00\x00\x00\x00\x00\x09\x00";
        assert_eq!(Reply::decode(nack), Ok(Reply::Nack { tag: 9, multiple: false }));
    }

    #[test]
    fn deliver_is_read_without_its_names() {
        let payload = b"\x00\x3c\x00\x3c\x03tag\x00\x00\x00\x00\x00\x00\x01\x02\x01\x00\x01k";
        let delivery = Delivery { tag: 0x102, redelivered: true };
        assert_eq!(Delivery::read(payload), Ok(Some(delivery)));
        assert_eq!(Delivery::read(&payload[..12]), Err(WireError::Truncated));
        assert_eq!(Delivery::read(b"\x00\x3c\x00\x50\x00\x00"), Ok(None));
    }

    #[test]
    fn cut_methods_are_errors_not_panics() {
        let payload = b"\x00\x0a\x00\x32\x01\x40\x04text\x00\x00\x00\x00";
        for cut in 0..11 {
            assert_eq!(Reply::decode(&payload[..cut]), Err(WireError::Truncated));
        }
    }
}
