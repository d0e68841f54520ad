//! One request in both languages: a stream's head for a tunnel, HTTP/1.1 for plain TCP.

use bytes::Bytes;

use crate::head::{Kind, encode_request};

/// What is asked, ready to be sent as often as wanted.
pub struct Question {
    /// Signature, version and `ConnectRequest`.
    pub tunnel_head: Bytes,
    /// Request line and headers of HTTP/1.1.
    pub tcp_head: Bytes,
    /// What follows the head.
    pub body: Body,
}

/// The body of a request.
#[derive(Clone)]
pub enum Body {
    /// None at all.
    Empty,
    /// These bytes.
    Whole(Bytes),
    /// Bytes until the visitor goes away.
    Endless,
}

/// Called with the bytes of an answer's body as they come.
pub type OnData<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

impl Question {
    /// A request for `path` with so many headers, not counting those that a body needs.
    pub fn http(method: &str, path: &str, headers: usize, body: Body) -> Self {
        let mut headers = header_list(headers);
        let length = match &body {
            Body::Empty => None,
            Body::Whole(bytes) => Some(bytes.len() as u64),
            Body::Endless => Some(ENDLESS),
        };
        headers.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        Self::build(Kind::Http, method, path, &headers, &[], body)
    }

    /// The handshake of a WebSocket (RFC 6455 section 4.1), without extensions.
    pub fn websocket(path: &str, headers: usize) -> Self {
        let mut headers = header_list(headers);
        headers.push((
            "Sec-WebSocket-Key".into(),
            "dGhlIHNhbXBsZSBub25jZQ==".into(),
        ));
        // The edge strips these three from what goes through a tunnel (protocol.md section 6.6).
        let plain = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        ];
        Self::build(Kind::Websocket, "GET", path, &headers, &plain, Body::Empty)
    }

    fn build(
        kind: Kind,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        tcp_headers: &[(&str, &str)],
        body: Body,
    ) -> Self {
        let dest = format!("https://{HOST}{path}");
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n");
        let listed = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in listed.chain(tcp_headers.iter().copied()) {
            text.extend([name, ": ", value, "\r\n"]);
        }
        text.push_str("\r\n");
        Self {
            tunnel_head: encode_request(kind, &dest, method, HOST, headers).into(),
            tcp_head: text.into(),
            body,
        }
    }
}

/// So many headers: those that a browser and the edge send, then made-up ones.
fn header_list(count: usize) -> Vec<(String, String)> {
    let known = BROWSER
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let made_up = (0..).map(|number| (format!("x-header-{number}"), format!("value {number:019}")));
    known.chain(made_up).take(count).collect()
}

const HOST: &str = "words-of-the-day.trycloudflare.com";

/// A length that no transfer of a benchmark reaches: 1 TiB.
pub const ENDLESS: u64 = 1 << 40;

const BROWSER: [(&str, &str); 20] = [
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("cache-control", "no-cache"),
    ("cdn-loop", "cloudflare; loops=1"),
    ("cf-connecting-ip", "203.0.113.7"),
    ("cf-ipcountry", "PT"),
    ("cf-ray", "8f2f6a1b2c3d4e5f-LIS"),
    ("cf-visitor", "{\"scheme\":\"https\"}"),
    (
        "cookie",
        "session=0123456789abcdef0123456789abcdef; theme=dark",
    ),
    ("dnt", "1"),
    ("pragma", "no-cache"),
    ("referer", "https://words-of-the-day.trycloudflare.com/"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("upgrade-insecure-requests", "1"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_carry_the_same_headers() {
        let question = Question::http("POST", "/sink", 25, Body::Whole(Bytes::from_static(b"ab")));
        let text = std::str::from_utf8(&question.tcp_head).unwrap();
        let wire = String::from_utf8_lossy(&question.tunnel_head);
        let (_, headers) = text.split_once("\r\n").unwrap();
        let mut count = 0;
        for line in headers.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            assert!(
                wire.contains(&format!("HttpHeader:{name}")) && wire.contains(value),
                "{name}"
            );
            count += 1;
        }
        assert_eq!(count, 26); // and Content-Length
    }

    #[test]
    fn a_websocket_names_what_the_edge_strips_on_tcp_alone() {
        let question = Question::websocket("/echo", 20);
        assert!(String::from_utf8_lossy(&question.tcp_head).contains("Upgrade: websocket"));
        assert!(!String::from_utf8_lossy(&question.tunnel_head).contains("websocket\0"));
    }
}
