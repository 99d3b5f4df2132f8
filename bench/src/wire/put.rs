//! Appending AMQP's elementary types to an output buffer. Pure.

/// Appends big-endian integers and AMQP strings.
pub(crate) trait Put {
    /// One octet.
    fn put_u8(&mut self, value: u8);
    /// Two octets, big-endian.
    fn put_u16(&mut self, value: u16);
    /// Four octets, big-endian.
    fn put_u32(&mut self, value: u32);
    /// Eight octets, big-endian.
    fn put_u64(&mut self, value: u64);
    /// A short string: one octet of length. Longer than 255 octets is cut, as the type cannot hold more;
    /// callers check lengths that a user can choose.
    fn put_short(&mut self, value: &str);
    /// A long string: four octets of length.
    fn put_long(&mut self, value: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_short(&mut self, value: &str) {
        let octets = &value.as_bytes()[..value.len().min(255)];
        self.push(octets.len() as u8);
        self.extend_from_slice(octets);
    }

    fn put_long(&mut self, value: &[u8]) {
        self.put_u32(value.len() as u32);
        self.extend_from_slice(value);
    }
}
