//! What a stream of a request begins with, both ways.
//!
//! Source: protocol.md sections 6.1, 13.1 and 13.2.

use anyhow::{Context, Result, ensure};

use crate::capnp::{Message, frame, framed_size, padded, struct_pointer, text_pairs, text_pointer};

/// What a request is; the values are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP.
    Http = 0,
    /// A WebSocket.
    Websocket = 1,
}

/// Signature, version and `ConnectRequest`.
pub fn encode_request(
    kind: Kind,
    dest: &str,
    method: &str,
    host: &str,
    headers: &Headers,
) -> Vec<u8> {
    let mut entries = vec![entry("HttpMethod", method), entry("HttpHost", host)];
    entries.extend(header_entries(headers));
    let dest_text = padded(dest.as_bytes());
    let (pointer, metadata) = text_pairs(dest_text.len() / 8, &entries);
    let words = [
        struct_pointer(0, 1, 2),
        kind as u64,
        text_pointer(1, dest.len()),
        pointer,
    ];
    preceded(&words, &[dest_text, metadata].concat())
}

/// Signature, version and `ConnectResponse`.
pub fn encode_response(status: u16, headers: &Headers) -> Vec<u8> {
    let mut entries = vec![entry("HttpStatus", &status.to_string())];
    entries.extend(header_entries(headers));
    let (pointer, metadata) = text_pairs(0, &entries);
    preceded(&[struct_pointer(0, 0, 2), 0, pointer], &metadata)
}

/// The status of the answer that `buffer` begins with, and the bytes of its head; `None` while
/// bytes are missing.
///
/// # Errors
/// No answer, a malformed one, or an error reply, whose text is the error's.
pub fn decode_response(buffer: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(message) = framed(buffer)? else {
        return Ok(None);
    };
    let size = PREAMBLE.len() + message.len();
    let message = Message::parse(message)?;
    let root = message.root()?;
    let error = root.text(0)?;
    ensure!(
        error.is_empty(),
        "the connector says: {}",
        String::from_utf8_lossy(error)
    );
    for found in root.structs(1)? {
        let found = found?;
        if found.text(0)? == b"HttpStatus" {
            let status = std::str::from_utf8(found.text(1)?)?.parse();
            return Ok(Some((status.context("a status that is no number")?, size)));
        }
    }
    anyhow::bail!("an answer without a status")
}

/// The kind and destination of the request that `buffer` begins with, and the bytes of its head;
/// `None` while bytes are missing.
pub fn decode_request(buffer: &[u8]) -> Result<Option<(Kind, String, usize)>> {
    let Some(message) = framed(buffer)? else {
        return Ok(None);
    };
    let size = PREAMBLE.len() + message.len();
    let message = Message::parse(message)?;
    let root = message.root()?;
    let kind = match root.u16(0) {
        0 => Kind::Http,
        1 => Kind::Websocket,
        other => anyhow::bail!("a request of type {other}"),
    };
    let dest = String::from_utf8_lossy(root.text(0)?).into_owned();
    Ok(Some((kind, dest, size)))
}

/// Header names and values.
pub type Headers = [(String, String)];

fn framed(buffer: &[u8]) -> Result<Option<&[u8]>> {
    let known = buffer.len().min(SIGNATURE.len());
    ensure!(
        buffer[..known] == SIGNATURE[..known],
        "a stream that begins with {buffer:02x?}"
    );
    let Some(behind) = buffer.get(PREAMBLE.len()..) else {
        return Ok(None);
    };
    Ok(framed_size(behind, MAX_HEAD)?.and_then(|size| behind.get(..size)))
}

fn preceded(words: &[u64], rest: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(rest);
    [PREAMBLE.to_vec(), frame(&body)].concat()
}

fn header_entries(headers: &Headers) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    headers
        .iter()
        .map(|(name, value)| entry(&format!("HttpHeader:{name}"), value))
}

fn entry(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.into())
}

const SIGNATURE: [u8; 6] = [0x0a, 0x36, 0xcd, 0x12, 0xa1, 0x3e];
const PREAMBLE: [u8; 8] = [0x0a, 0x36, 0xcd, 0x12, 0xa1, 0x3e, b'0', b'1'];
const MAX_HEAD: usize = 1 << 20; // bytes

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{CONNECT_ERROR, CONNECT_REQUEST, CONNECT_RESPONSE, bytes};

    #[test]
    fn a_request_is_encoded_as_pycapnp_does() {
        let encoded = encode_request(
            Kind::Http,
            "https://t.example/a?b=1",
            "GET",
            "t.example",
            &[],
        );
        assert_eq!(encoded, bytes(CONNECT_REQUEST));
    }

    #[test]
    fn a_response_is_encoded_as_pycapnp_does() {
        assert_eq!(encode_response(200, &[]), bytes(CONNECT_RESPONSE));
    }

    #[test]
    fn a_response_is_read_however_it_is_cut() {
        let wire = bytes(CONNECT_RESPONSE);
        for cut in 0..wire.len() {
            assert_eq!(decode_response(&wire[..cut]).unwrap(), None);
        }
        assert_eq!(decode_response(&wire).unwrap(), Some((200, wire.len())));
    }

    #[test]
    fn an_error_reply_is_an_error_with_its_text() {
        let error = decode_response(&bytes(CONNECT_ERROR)).unwrap_err();
        assert!(error.to_string().contains("boom"));
    }

    #[test]
    fn headers_of_any_length_come_out_as_they_went_in() {
        let headers: Vec<_> = (0..40)
            .map(|n| ("x".repeat(n + 1), "y".repeat(3 * n)))
            .collect();
        let wire = encode_request(Kind::Websocket, "/echo", "GET", "h", &headers);
        let (kind, dest, size) = decode_request(&wire).unwrap().unwrap();
        assert_eq!(
            (kind, dest.as_str(), size),
            (Kind::Websocket, "/echo", wire.len())
        );
        let message = Message::parse(&wire[8..]).unwrap();
        let entries = message.root().unwrap().structs(1).unwrap();
        let read: Vec<_> = entries
            .skip(2)
            .map(|entry| {
                let entry = entry.unwrap();
                let text = |index| String::from_utf8(entry.text(index).unwrap().to_vec()).unwrap();
                (
                    text(0).strip_prefix("HttpHeader:").unwrap().to_owned(),
                    text(1),
                )
            })
            .collect();
        assert_eq!(read, headers);
    }

    #[test]
    fn another_signature_is_refused_at_its_first_byte() {
        assert!(decode_response(b"H").is_err());
    }
}
