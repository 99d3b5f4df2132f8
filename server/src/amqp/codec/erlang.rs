//! Erlang terms as RabbitMQ's `~p` and `~w` write them, for error texts that clients know.

use std::fmt;

/// The head of a payload, for error texts: 16 octets at most (behaviour A38-A40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snippet {
    octets: [u8; Snippet::OCTETS],
    length: u8,
    /// The payload was longer.
    cut: bool,
}

impl Snippet {
    const OCTETS: usize = 16;

    pub(crate) fn of(payload: &[u8]) -> Self {
        let length = payload.len().min(Self::OCTETS);
        let mut octets = [0; Self::OCTETS];
        octets[..length].copy_from_slice(&payload[..length]);
        Snippet { octets, length: length as u8, cut: payload.len() > Self::OCTETS }
    }
}

/// `all octets = <<...>>` or `first 16 octets = <<...>>`.
impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = &self.octets[..usize::from(self.length)];
        let which = if self.cut { "first 16" } else { "all" };
        write!(f, "{which} octets = {}", Pretty(octets))
    }
}

/// A binary as `~p` writes it: text in quotes if all of it can be printed, else numbers.
pub(crate) struct Pretty<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |&o: &u8| matches!(o, 8..=13 | 27 | 32..=126 | 160..=255);
        if self.0.is_empty() || !self.0.iter().all(printable) {
            return Numbers(self.0).fmt(f);
        }
        f.write_str("<<\"")?;
        for &octet in self.0 {
            match octet {
                8 => f.write_str("\\b")?,
                9 => f.write_str("\\t")?,
                10 => f.write_str("\\n")?,
                11 => f.write_str("\\v")?,
                12 => f.write_str("\\f")?,
                13 => f.write_str("\\r")?,
                27 => f.write_str("\\e")?,
                b'"' => f.write_str("\\\"")?,
                b'\\' => f.write_str("\\\\")?,
                _ => write!(f, "{}", char::from(octet))?,
            }
        }
        f.write_str("\">>")
    }
}

/// A binary as `~w` writes it: numbers.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<<")?;
        for (index, octet) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{octet}")?;
        }
        f.write_str(">>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_look_as_erlang_prints_them() {
        assert_eq!(Pretty(b"").to_string(), "<<>>");
        assert_eq!(Pretty(b"some").to_string(), "<<\"some\">>");
        assert_eq!(Pretty(b"a\"\n").to_string(), "<<\"a\\\"\\n\">>");
        assert_eq!(Pretty(&[0, 60]).to_string(), "<<0,60>>");
        assert_eq!(Numbers(b"ab").to_string(), "<<97,98>>");
    }

    #[test]
    fn a_snippet_is_cut_after_sixteen_octets() {
        assert_eq!(Snippet::of(&[1; 16]).to_string().matches('1').count(), 16);
        assert_eq!(
            Snippet::of(&[1; 17]).to_string(),
            "first 16 octets = <<1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1>>"
        );
    }
}
