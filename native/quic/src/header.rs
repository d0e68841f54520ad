//! The part of a packet that tells whose it is (RFC 8999 §5, RFC 9000 §17).

use crate::settings::VERSION_1;

/// The first packet of a datagram, as far as no key is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header<'a> {
    /// A long header of a version we speak.
    Long {
        destination: &'a [u8],
        is_initial: bool,
    },
    /// A long header of any other version; 0 is version negotiation.
    OtherVersion {
        version: u32,
        destination: &'a [u8],
        source: &'a [u8],
    },
    /// A short header; its connection id has the length of ours.
    Short { destination: &'a [u8] },
}

/// Read it; `None` for what is no QUIC packet.
pub(crate) fn parse(datagram: &[u8], id_length: usize) -> Option<Header<'_>> {
    let (&first, rest) = datagram.split_first()?;
    if first & LONG_HEADER == 0 {
        return rest
            .get(..id_length)
            .map(|destination| Header::Short { destination });
    }
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let version = u32::from_be_bytes(*version);
    let (destination, rest) = connection_id(rest)?;
    let (source, _) = connection_id(rest)?;
    if version != VERSION_1 {
        return Some(Header::OtherVersion {
            version,
            destination,
            source,
        });
    }
    (destination.len() <= LONGEST_ID).then_some(Header::Long {
        destination,
        is_initial: first & PACKET_TYPE == INITIAL,
    })
}

/// A Version Negotiation packet that answers such a header (RFC 9000 §17.2.1).
pub(crate) fn version_negotiation(destination: &[u8], source: &[u8]) -> Vec<u8> {
    let mut packet = vec![LONG_HEADER | FIXED_BIT, 0, 0, 0, 0];
    for id in [source, destination] {
        packet.push(u8::try_from(id.len()).expect("its length came as one byte"));
        packet.extend_from_slice(id);
    }
    packet.extend_from_slice(&VERSION_1.to_be_bytes());
    packet
}

fn connection_id(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = rest.split_first()?;
    rest.split_at_checked(length.into())
}

const LONG_HEADER: u8 = 0x80;
const FIXED_BIT: u8 = 0x40;
const PACKET_TYPE: u8 = 0x30;
const INITIAL: u8 = 0x00; // RFC 9000 §17.2.2
const LONGEST_ID: usize = 20; // bytes; RFC 9000 §17.2

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL_HEADER: &[u8] = b"\xc3\x00\x00\x00\x01\x03abc\x02de\x00";

    #[test]
    fn an_initial_names_its_destination() {
        let expected = Header::Long {
            destination: b"abc",
            is_initial: true,
        };
        assert_eq!(parse(INITIAL_HEADER, 8), Some(expected));
    }

    #[test]
    fn a_handshake_packet_is_no_initial() {
        let mut packet = INITIAL_HEADER.to_vec();
        packet[0] = 0xe3;
        assert!(matches!(
            parse(&packet, 8),
            Some(Header::Long {
                is_initial: false,
                ..
            })
        ));
    }

    #[test]
    fn a_short_header_has_an_id_of_our_length() {
        let expected = Header::Short {
            destination: b"01234567",
        };
        assert_eq!(parse(b"\x40" as &[u8], 8), None);
        assert_eq!(parse(b"\x4001234567rest", 8), Some(expected));
    }

    #[test]
    fn every_cut_of_a_header_is_refused() {
        for length in 0..INITIAL_HEADER.len() - 1 {
            assert_eq!(parse(&INITIAL_HEADER[..length], 8), None, "{length} bytes");
        }
    }

    #[test]
    fn an_id_beyond_20_bytes_is_refused() {
        let mut packet = b"\xc3\x00\x00\x00\x01\x15".to_vec();
        packet.extend_from_slice(&[7; 0x15]);
        packet.extend_from_slice(b"\x00\x00");
        assert_eq!(parse(&packet, 8), None);
    }

    #[test]
    fn negotiation_swaps_the_ids_and_offers_version_1() {
        let packet = version_negotiation(b"abc", b"de");
        assert_eq!(packet, b"\xc0\x00\x00\x00\x00\x02de\x03abc\x00\x00\x00\x01");
        let parsed = parse(&packet, 8);
        assert!(matches!(
            parsed,
            Some(Header::OtherVersion { version: 0, .. })
        ));
    }
}
