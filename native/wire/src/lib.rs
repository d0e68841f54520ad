//! Reads what a request of the edge begins with, as every known encoder lays it out.
//!
//! It is a fast path and no judge: what is unusual or unsound gives `None`, and the reader in
//! `asgi_quicktunnel.protocol.datastream` says what is to be made of it.
//!
//! Source: protocol.md §6.1; Cap'n Proto's encoding, capnproto.org/encoding.html.

mod message;

use message::{Message, Pointer};

/// A `ConnectRequest`, borrowed from the bytes that it came as.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// 0 for HTTP, 1 for a WebSocket, 2 for TCP.
    pub kind: u16,
    /// Absolute URL, or a bare path.
    pub dest: &'a [u8],
    /// A token; `GET` when the edge named none.
    pub method: &'a [u8],
    /// Empty when the edge named none.
    pub host: &'a [u8],
    /// Names (tokens in any case) and values in order, without Host.
    pub headers: Vec<(&'a [u8], &'a [u8])>,
    /// Where what follows the head begins.
    pub end: usize,
}

/// The request that a stream begins with; `None` unless these bytes hold all of its head, in one
/// segment, laid out as usual, and sound.
pub fn read_request(data: &[u8]) -> Option<Head<'_>> {
    if !data.starts_with(SIGNATURE) {
        return None;
    }
    let (mut message, size) = Message::first(data.get(PREAMBLE..)?, MAX_HEAD - PREAMBLE)?;
    let root = message.root()?;
    let kind = root.uint16(&message, 0);
    let dest = message.text(root.pointer(0)?)?;
    if kind > LAST_KIND || dest.iter().any(|&byte| byte <= b' ' || byte == DELETE) {
        return None;
    }
    let mut head = Head {
        kind,
        dest,
        method: b"GET",
        host: b"",
        headers: Vec::new(),
        end: PREAMBLE + size,
    };
    if let Some(pointer) = root.pointer(1) {
        read_metadata(&mut message, pointer, &mut head)?;
    }
    Some(head)
}

fn read_metadata<'a>(
    message: &mut Message<'a>,
    pointer: Pointer,
    head: &mut Head<'a>,
) -> Option<()> {
    let pairs = message.pairs(pointer)?;
    if pairs.count > MAX_METADATA {
        return None;
    }
    head.headers.reserve(pairs.count);
    for index in 0..pairs.count {
        let key = message.text(pairs.pointer(index, 0))?;
        let value = message.text(pairs.pointer(index, 1))?;
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return None;
        }
        if let Some(name) = key.strip_prefix(HEADER_KEY) {
            if !is_token(name) {
                return None;
            }
            if !name.eq_ignore_ascii_case(b"host") {
                head.headers.push((name, value));
            }
        } else if key == b"HttpMethod" {
            head.method = if value.is_empty() { b"GET" } else { value };
        } else if key == b"HttpHost" {
            head.host = value;
        }
    }
    is_token(head.method).then_some(())
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_allowed)
}

const SIGNATURE: &[u8] = b"\x0a\x36\xcd\x12\xa1\x3e"; // protocol.md §6.1
const PREAMBLE: usize = 8; // bytes: signature and version
const MAX_HEAD: usize = (256 << 10) + PREAMBLE; // bytes; design.md §5
const MAX_METADATA: usize = 1000; // design.md §5
const LAST_KIND: u16 = 2;
const DELETE: u8 = 0x7f;
const HEADER_KEY: &[u8] = b"HttpHeader:";

#[cfg(test)]
mod tests {
    use super::*;

    /// The dump of protocol.md §13.1.
    const REQUEST: &[u8] = b"\x0a\x36\xcd\x12\xa1\x3e01\
        \0\0\0\0\x13\0\0\0\
        \0\0\0\0\x01\0\x02\0\0\0\0\0\0\0\0\0\
        \x05\0\0\0\xc2\0\0\0\x0d\0\0\0\x27\0\0\0\
        https://t.example/a?b=1\0\
        \x08\0\0\0\0\0\x02\0\
        \x0d\0\0\0\x5a\0\0\0\x11\0\0\0\x22\0\0\0\
        \x11\0\0\0\x4a\0\0\0\x15\0\0\0\x52\0\0\0\
        HttpMethod\0\0\0\0\0\0GET\0\0\0\0\0\
        HttpHost\0\0\0\0\0\0\0\0t.example\0\0\0\0\0\0\0";

    fn expected() -> Head<'static> {
        Head {
            kind: 0,
            dest: b"https://t.example/a?b=1",
            method: b"GET",
            host: b"t.example",
            headers: Vec::new(),
            end: REQUEST.len(),
        }
    }

    #[test]
    fn the_dump_of_the_protocol_is_read() {
        assert_eq!(REQUEST.len(), 168);
        assert_eq!(read_request(REQUEST), Some(expected()));
    }

    #[test]
    fn what_follows_is_left_where_it_is() {
        let longer = [REQUEST, b"body"].concat();
        assert_eq!(read_request(&longer), Some(expected()));
    }

    #[test]
    fn every_cut_gives_nothing() {
        for length in 0..REQUEST.len() {
            assert_eq!(read_request(&REQUEST[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn no_changed_byte_does_any_harm() {
        for index in 0..REQUEST.len() {
            for change in 1..=255 {
                let mut data = REQUEST.to_vec();
                data[index] ^= change;
                if let Some(head) = read_request(&data) {
                    assert!(head.end <= data.len());
                    assert!(is_token(head.method));
                }
            }
        }
    }
}
