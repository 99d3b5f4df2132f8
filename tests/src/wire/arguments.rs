//! Values in method arguments: written one after the other, and read back.

/// Method arguments being written.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    octets: Vec<u8>,
}

impl Arguments {
    /// No arguments yet.
    pub fn new() -> Arguments {
        Arguments::default()
    }

    /// One octet; also a run of bits, first bit lowest.
    #[must_use]
    pub fn octet(mut self, value: u8) -> Arguments {
        self.octets.push(value);
        self
    }

    /// A 16-bit number.
    #[must_use]
    pub fn short(mut self, value: u16) -> Arguments {
        self.octets.extend(value.to_be_bytes());
        self
    }

    /// A 32-bit number.
    #[must_use]
    pub fn long(mut self, value: u32) -> Arguments {
        self.octets.extend(value.to_be_bytes());
        self
    }

    /// A 64-bit number.
    #[must_use]
    pub fn longlong(mut self, value: u64) -> Arguments {
        self.octets.extend(value.to_be_bytes());
        self
    }

    /// A string of at most 255 octets.
    #[must_use]
    pub fn shortstr(mut self, value: &str) -> Arguments {
        self.octets.push(u8::try_from(value.len()).expect("a short string has at most 255 octets"));
        self.octets.extend(value.as_bytes());
        self
    }

    /// A long string, or a field table whose entries are already encoded.
    #[must_use]
    pub fn longstr(mut self, value: &[u8]) -> Arguments {
        self.octets.extend(u32::try_from(value.len()).expect("tests are small").to_be_bytes());
        self.octets.extend(value);
        self
    }

    /// An empty field table.
    #[must_use]
    pub fn empty_table(self) -> Arguments {
        self.longstr(b"")
    }

    /// The octets as they are.
    #[must_use]
    pub fn raw(mut self, value: &[u8]) -> Arguments {
        self.octets.extend(value);
        self
    }

    /// What was written.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }
}

/// Reads values back. Panics where there is too little: then the broker has sent a broken frame.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `octets`.
    pub fn new(octets: &'a [u8]) -> Reader<'a> {
        Reader { rest: octets }
    }

    /// The next `count` octets as they are.
    pub fn raw(&mut self, count: usize) -> &'a [u8] {
        assert!(
            count <= self.rest.len(),
            "the broker sent {} octets too few",
            count - self.rest.len()
        );
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(self.raw(N));
        value
    }

    /// One octet.
    pub fn octet(&mut self) -> u8 {
        self.number::<1>()[0]
    }

    /// A 16-bit number.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.number())
    }

    /// A 32-bit number.
    pub fn long(&mut self) -> u32 {
        u32::from_be_bytes(self.number())
    }

    /// A 64-bit number.
    pub fn longlong(&mut self) -> u64 {
        u64::from_be_bytes(self.number())
    }

    /// A short string.
    pub fn shortstr(&mut self) -> String {
        let length = usize::from(self.octet());
        String::from_utf8_lossy(self.raw(length)).into_owned()
    }

    /// A long string, or the encoded entries of a field table.
    pub fn longstr(&mut self) -> &'a [u8] {
        let length = self.long() as usize;
        self.raw(length)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
