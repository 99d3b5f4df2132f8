//! Reading method arguments and property lists: a cursor that borrows from the input.

/// Octets are not what the method's definition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Too short, or too long.
    Shape,
    /// A short string that must be text is not UTF-8 (behaviour A48).
    Text,
}

/// Cursor over octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// A short string as it came: at most 255 octets, any octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct ShortStr<'a>(pub(crate) &'a [u8]);

/// A long string: any octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct LongStr<'a>(pub(crate) &'a [u8]);

/// The fields of a table, undecoded, without the length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct TableOctets<'a>(pub(crate) &'a [u8]);

/// Something that can stand in a method's argument list.
pub(crate) trait Argument<'a>: Sized {
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
}

impl<'a> Reader<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Reader { rest: octets }
    }

    /// Octets not read yet.
    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    #[inline]
    pub(crate) fn take<T: Argument<'a>>(&mut self) -> Result<T, Malformed> {
        T::take(self)
    }

    #[inline]
    pub(crate) fn octets(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Shape)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Shape)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// An error if anything is left: arguments fill their frame exactly.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Shape)
        }
    }
}

impl<'a> Argument<'a> for u8 {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array().map(u8::from_be_bytes)
    }
}

impl<'a> Argument<'a> for u16 {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array().map(u16::from_be_bytes)
    }
}

impl<'a> Argument<'a> for u32 {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array().map(u32::from_be_bytes)
    }
}

impl<'a> Argument<'a> for u64 {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        reader.array().map(u64::from_be_bytes)
    }
}

impl<'a> Argument<'a> for ShortStr<'a> {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let length = reader.take::<u8>()?;
        reader.octets(usize::from(length)).map(ShortStr)
    }
}

/// Short strings that name things: text.
impl<'a> Argument<'a> for &'a str {
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let ShortStr(octets) = reader.take()?;
        std::str::from_utf8(octets).map_err(|_| Malformed::Text)
    }
}

impl<'a> Argument<'a> for LongStr<'a> {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let length = reader.take::<u32>()?;
        reader.octets(length as usize).map(LongStr)
    }
}

impl<'a> Argument<'a> for TableOctets<'a> {
    #[inline]
    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let LongStr(octets) = reader.take()?;
        Ok(TableOctets(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_longer_than_their_frame_are_malformed() {
        assert_eq!(Reader::new(&[5, b'a']).take::<ShortStr<'_>>(), Err(Malformed::Shape));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).take::<LongStr<'_>>(),
            Err(Malformed::Shape)
        );
    }

    #[test]
    fn names_must_be_utf8_and_other_strings_need_not() {
        assert_eq!(Reader::new(&[1, 0xff]).take::<&str>(), Err(Malformed::Text));
        assert_eq!(Reader::new(&[1, 0xff]).take::<ShortStr<'_>>(), Ok(ShortStr(&[0xff])));
    }
}
