//! The same requests in HTTP/1.1 over TCP, to a server without a tunnel; connections are kept.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::question::{Body, OnData, Question};
use crate::websocket::Socket;

/// One visitor with at most one connection.
pub struct PlainVisitor {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl PlainVisitor {
    /// A visitor of the server at this address; it connects when it first asks.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::new(),
        }
    }

    /// Send one request and read its whole answer.
    ///
    /// # Errors
    /// Anything but status 200 with a Content-Length.
    pub async fn ask(
        &mut self,
        question: &Question,
        on_data: OnData<'_>,
        block: &Bytes,
    ) -> Result<u64> {
        let mut stream = self.connected().await?;
        stream.write_all(&question.tcp_head).await?;
        match &question.body {
            Body::Empty => {}
            Body::Whole(bytes) => stream.write_all(bytes).await?,
            Body::Endless => loop {
                stream.write_all(block).await?;
            },
        }
        let head = read_head(&mut stream, &mut self.buffer).await?;
        ensure!(head.status == 200, "status {}", head.status);
        let length = head
            .content_length
            .context("an answer without Content-Length")?;
        let mut missing = length;
        loop {
            let here = missing.min(self.buffer.len() as u64);
            missing -= here;
            on_data(&self.buffer[..here as usize]);
            self.buffer.drain(..here as usize);
            if missing == 0 {
                self.stream = Some(stream);
                return Ok(length);
            }
            self.buffer.reserve(READ);
            ensure!(stream.read_buf(&mut self.buffer).await? > 0, CUT_SHORT);
        }
    }

    /// Open a WebSocket on a connection of its own.
    ///
    /// # Errors
    /// Anything but status 101.
    pub async fn upgrade(mut self, question: &Question) -> Result<Socket> {
        let mut stream = self.connected().await?;
        stream.write_all(&question.tcp_head).await?;
        let head = read_head(&mut stream, &mut self.buffer).await?;
        ensure!(head.status == 101, "status {} for a WebSocket", head.status);
        Ok(Socket::new(stream, self.buffer))
    }

    async fn connected(&mut self) -> Result<TcpStream> {
        if let Some(stream) = self.stream.take() {
            return Ok(stream);
        }
        self.buffer.clear();
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

struct Head {
    status: u16,
    content_length: Option<u64>,
}

/// Read up to the end of the head, which is taken out of the buffer.
async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<Head> {
    loop {
        if let Some((head, size)) = parse_head(buffer)? {
            buffer.drain(..size);
            return Ok(head);
        }
        ensure!(
            buffer.len() <= MAX_HEAD,
            "a head of more than {MAX_HEAD} bytes"
        );
        buffer.reserve(READ);
        ensure!(stream.read_buf(buffer).await? > 0, CUT_SHORT);
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(size) = response.parse(buffer)? else {
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let content_length = match length {
        Some(header) => Some(std::str::from_utf8(header.value)?.trim().parse()?),
        None => None,
    };
    let status = response.code.context("an answer without a status")?;
    Ok(Some((
        Head {
            status,
            content_length,
        },
        size,
    )))
}

const READ: usize = 64 << 10; // bytes read at a time
const MAX_HEAD: usize = 256 << 10; // bytes
const CUT_SHORT: &str = "the server closed the connection within an answer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-Length: 12\r\n\r\nrest";
        let end = text.len() - 4;
        assert!(parse_head(&text[..end - 1]).unwrap().is_none());
        let (head, size) = parse_head(text).unwrap().unwrap();
        assert_eq!(
            (head.status, head.content_length, size),
            (200, Some(12), end)
        );
    }
}
