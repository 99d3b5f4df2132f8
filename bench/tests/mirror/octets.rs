//! Frames and fields for the mirror.

/// Kind, payload and whole length of the first frame, if it is there whole.
pub(crate) fn frame(octets: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head = octets.get(..7)?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    let whole = octets.get(..length + 8)?;
    assert_eq!(whole[length + 7], 0xCE, "frame end");
    Some((head[0], &whole[7..length + 7], length + 8))
}

/// Appends a method frame.
pub(crate) fn method(out: &mut Vec<u8>, channel: u16, class: u16, number: u16, arguments: &[u8]) {
    out.push(1);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(arguments.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(&class.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(arguments);
    out.push(0xCE);
}

/// Appends a short string.
pub(crate) fn short(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// Appends a long string.
pub(crate) fn long(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&(octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// Reads fields off the front; a client that cuts them short ends its connection's thread.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// Two octets.
    pub(crate) fn u16(&mut self) -> u16 {
        let value = u16::from_be_bytes([self.0[0], self.0[1]]);
        self.0 = &self.0[2..];
        value
    }

    /// A short string.
    pub(crate) fn short(&mut self) -> String {
        let end = 1 + usize::from(self.0[0]);
        let text = String::from_utf8_lossy(&self.0[1..end]).into_owned();
        self.0 = &self.0[end..];
        text
    }
}
