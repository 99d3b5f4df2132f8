//! The header of the PROXY protocol, by which a load balancer says whose connection it passes on
//! (behaviour A27): version 1 is a line of text, version 2 is octets.
//!
//! Pure, of no thread: octets in, an address out. Must not import anything of the broker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy's own, or one of which it does not know: what the socket says stands.
    Local,
    /// A client's.
    Client(SocketAddr),
}

/// Why octets are not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    #[error("it does not begin with a header of the PROXY protocol")]
    Missing,
    #[error("the line of the PROXY protocol is longer than {LINE_MAX} octets")]
    LineTooLong,
    #[error("the line of the PROXY protocol is malformed")]
    Line,
    #[error("version, command, family or transport in the PROXY header is unknown")]
    Unknown,
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
    #[error("the PROXY header is longer than {HEADER_MAX} octets")]
    TooLong,
}

const LINE_START: &[u8] = b"PROXY ";
/// Octets of the longest line, its end included.
const LINE_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;
/// A header with addresses takes 52 octets; beyond them stand things that a proxy may add.
const HEADER_MAX: usize = 4096;

/// Looks at the first octets of a connection. `None`: they are the beginning of a header, and more
/// must come; else the header's meaning and length.
pub fn parse(octets: &[u8]) -> Result<Option<(Origin, usize)>, ProxyError> {
    if begins(octets, LINE_START) {
        parse_line(octets)
    } else if begins(octets, SIGNATURE) {
        parse_octets(octets)
    } else {
        Err(ProxyError::Missing)
    }
}

/// As far as both go.
fn begins(octets: &[u8], with: &[u8]) -> bool {
    let length = octets.len().min(with.len());
    octets.get(..length) == with.get(..length)
}

fn parse_line(octets: &[u8]) -> Result<Option<(Origin, usize)>, ProxyError> {
    let seen = octets.get(..LINE_MAX).unwrap_or(octets);
    let Some(end) = seen.windows(2).position(|pair| pair == b"\r\n") else {
        return match octets.len() >= LINE_MAX {
            true => Err(ProxyError::LineTooLong),
            false => Ok(None),
        };
    };
    let line = seen.get(LINE_START.len()..end).ok_or(ProxyError::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::Line)?;
    let origin = origin_in(line).ok_or(ProxyError::Line)?;
    Ok(Some((origin, end + 2)))
}

fn origin_in(line: &str) -> Option<Origin> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What may follow is to be ignored.
        return Some(Origin::Local);
    }
    let (client, server) = (words.next()?, words.next()?);
    let (port, other_port) = (port(words.next()?)?, port(words.next()?)?);
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    // The other end is what the socket says; here it only has to make sense.
    let (client, _, _) = (address(client)?, address(server)?, other_port);
    words.next().is_none().then_some(Origin::Client(SocketAddr::new(client, port)))
}

/// Digits only: a sign is not one.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_octets(octets: &[u8]) -> Result<Option<(Origin, usize)>, ProxyError> {
    let Some(fixed) = octets.first_chunk::<FIXED>() else { return Ok(None) };
    let [.., command, kind, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Unknown),
    };
    let (family, transport) = (kind >> 4, kind & 0x0f);
    if family > 3 || transport > 2 {
        return Err(ProxyError::Unknown);
    }
    let whole = FIXED + length;
    if whole > HEADER_MAX {
        return Err(ProxyError::TooLong);
    }
    let Some(addresses) = octets.get(FIXED..whole) else { return Ok(None) };
    let origin = match (local, family, transport) {
        (false, 1, 1) => {
            let (address, port) = client_of::<4>(addresses)?;
            Origin::Client(SocketAddr::new(Ipv4Addr::from(address).into(), port))
        }
        (false, 2, 1) => {
            let (address, port) = client_of::<16>(addresses)?;
            Origin::Client(SocketAddr::new(Ipv6Addr::from(address).into(), port))
        }
        // Not TCP, or not said.
        _ => Origin::Local,
    };
    Ok(Some((origin, whole)))
}

/// The client's address and port; the server's must be there, too.
fn client_of<const N: usize>(octets: &[u8]) -> Result<([u8; N], u16), ProxyError> {
    let (client, rest) = octets.split_first_chunk::<N>().ok_or(ProxyError::TooShort)?;
    let (_, rest) = rest.split_first_chunk::<N>().ok_or(ProxyError::TooShort)?;
    let (ports, _) = rest.split_first_chunk::<4>().ok_or(ProxyError::TooShort)?;
    Ok((*client, u16::from_be_bytes([ports[0], ports[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client(text: &str) -> Origin {
        Origin::Client(text.parse().unwrap())
    }

    fn header(command: u8, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut octets = SIGNATURE.to_vec();
        octets.extend([command, kind]);
        octets.extend((body.len() as u16).to_be_bytes());
        octets.extend_from_slice(body);
        octets
    }

    fn four() -> Vec<u8> {
        let mut body = vec![192, 0, 2, 7, 127, 0, 0, 1];
        body.extend([0x30, 0x39, 0x16, 0x28]);
        body
    }

    fn six() -> Vec<u8> {
        let mut body = vec![0x20, 0x01, 0x0d, 0xb8];
        body.extend([0; 11]);
        body.push(7);
        body.extend([0; 15]);
        body.push(1);
        body.extend([0x30, 0x39, 0x16, 0x28]);
        body
    }

    #[test]
    fn headers_say_whose_connection_it_is() {
        let mut added = four();
        added.extend([4, 0, 1, 0]);
        for (octets, origin) in [
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 5672\r\n".to_vec(), client("192.0.2.7:12345")),
            (b"PROXY TCP6 2001:db8::7 ::1 12345 5672\r\n".to_vec(), client("[2001:db8::7]:12345")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Origin::Local),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), Origin::Local),
            (header(0x21, 0x11, &four()), client("192.0.2.7:12345")),
            (header(0x21, 0x11, &added), client("192.0.2.7:12345")),
            (header(0x21, 0x21, &six()), client("[2001:db8::7]:12345")),
            (header(0x20, 0x11, &four()), Origin::Local),
            (header(0x20, 0, &[]), Origin::Local),
            (header(0x21, 0, &[]), Origin::Local),
            (header(0x21, 0x12, &four()), Origin::Local),
            (header(0x21, 0x31, &[0; 216]), Origin::Local),
        ] {
            let length = octets.len();
            let mut more = octets.clone();
            more.extend_from_slice(b"AMQP\0\0\x09\x01");
            assert_eq!(parse(&more), Ok(Some((origin, length))), "{octets:?}");
            // Octet by octet it is the same.
            for end in 0..length {
                assert_eq!(parse(&octets[..end]), Ok(None), "{octets:?} up to {end}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_shows() {
        let long = [b"PROXY TCP6 ".as_slice(), &[b'1'; 120]].concat();
        for (octets, error) in [
            (b"A".to_vec(), ProxyError::Missing),
            (b"AMQP\0\0\x09\x01".to_vec(), ProxyError::Missing),
            (b"PROXX".to_vec(), ProxyError::Missing),
            (b"\r\n\r\n\0\r\nQUIX".to_vec(), ProxyError::Missing),
            (b"PROXY \r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 12345\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 5672 9\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4  192.0.2.7 127.0.0.1 12345 5672\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 ::1 ::1 12345 5672\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 70000 5672\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 +1 5672\r\n".to_vec(), ProxyError::Line),
            (b"PROXY UDP4 192.0.2.7 127.0.0.1 1 5672\r\n".to_vec(), ProxyError::Line),
            (b"PROXY TCP4 \xff 127.0.0.1 1 5672\r\n".to_vec(), ProxyError::Line),
            (long, ProxyError::LineTooLong),
            (header(0x11, 0x11, &four()), ProxyError::Unknown),
            (header(0x22, 0x11, &four()), ProxyError::Unknown),
            (header(0x21, 0x41, &four()), ProxyError::Unknown),
            (header(0x21, 0x13, &four()), ProxyError::Unknown),
            (header(0x21, 0x11, &four()[..11]), ProxyError::TooShort),
            (header(0x21, 0x21, &four()), ProxyError::TooShort),
            (header(0x21, 0x11, &[0; 5000])[..16].to_vec(), ProxyError::TooLong),
        ] {
            assert_eq!(parse(&octets), Err(error), "{octets:?}");
        }
    }

    #[test]
    fn a_line_of_the_longest_length_is_read_and_one_longer_is_not() {
        let mut line = b"PROXY UNKNOWN".to_vec();
        line.resize(LINE_MAX - 2, b' ');
        let whole = [line.as_slice(), b"\r\n"].concat();
        assert_eq!(parse(&whole), Ok(Some((Origin::Local, LINE_MAX))));
        let longer = [line.as_slice(), b" \r\n"].concat();
        assert_eq!(parse(&longer), Err(ProxyError::LineTooLong));
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic_or_claim_more_than_there_is(
            start in 0..3usize,
            tail in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let starts: [&[u8]; 3] = [b"", LINE_START, SIGNATURE];
            let octets = [starts[start], &tail].concat();
            if let Ok(Some((_, length))) = parse(&octets) {
                prop_assert!(length <= octets.len());
                prop_assert_eq!(parse(&octets[..length]), parse(&octets));
            }
        }

        #[test]
        fn a_header_is_read_back(address: [u8; 4], port: u16, length in 0..60usize) {
            let mut body = address.to_vec();
            body.extend([127, 0, 0, 1]);
            body.extend(port.to_be_bytes());
            body.extend([0x16, 0x28]);
            body.resize(12 + length, 0);
            let octets = header(0x21, 0x11, &body);
            let origin = Origin::Client(SocketAddr::from((address, port)));
            prop_assert_eq!(parse(&octets), Ok(Some((origin, octets.len()))));
        }
    }
}
