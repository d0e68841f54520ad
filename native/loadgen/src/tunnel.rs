//! Requests that an edge sends through a connector: one stream each.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};

use crate::head::decode_response;
use crate::question::{Body, OnData, Question};
use crate::websocket::Socket;

/// Send one request and read its whole answer.
///
/// # Errors
/// Anything but status 200 and a body that ends.
pub async fn ask(
    connection: &Connection,
    question: &Question,
    on_data: OnData<'_>,
    block: &Bytes,
) -> Result<u64> {
    let (send, mut recv) = connection.open_bi().await?;
    let mut request = Request(Some(send));
    request.send(&question.tunnel_head).await?;
    match &question.body {
        Body::Empty => {}
        Body::Whole(bytes) => request.send(bytes).await?,
        Body::Endless => loop {
            request.send(block).await?;
        },
    }
    request.end()?;
    let (status, first) = read_head(&mut recv).await?;
    ensure!(status == 200, "status {status}");
    on_data(&first);
    let mut length = first.len() as u64;
    while let Some(chunk) = recv.read_chunk(usize::MAX, true).await? {
        length += chunk.bytes.len() as u64;
        on_data(&chunk.bytes);
    }
    Ok(length)
}

/// Open a WebSocket.
///
/// # Errors
/// Anything but status 101.
pub async fn upgrade(connection: &Connection, question: &Question) -> Result<Socket> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(&question.tunnel_head).await?;
    let mut buffer = Vec::new();
    let head = read_until_head(&mut recv, &mut buffer).await?;
    ensure!(head.0 == 101, "status {} for a WebSocket", head.0);
    buffer.drain(..head.1);
    Ok(Socket::new(tokio::io::join(recv, send), buffer))
}

/// The status, and the bytes of the body that came with the head.
async fn read_head(recv: &mut RecvStream) -> Result<(u16, Bytes)> {
    let mut chunk = recv
        .read_chunk(usize::MAX, true)
        .await?
        .context(NO_ANSWER)?;
    if let Some((status, size)) = decode_response(&chunk.bytes)? {
        return Ok((status, chunk.bytes.split_off(size)));
    }
    let mut buffer = chunk.bytes.to_vec();
    let (status, size) = read_until_head(recv, &mut buffer).await?;
    Ok((status, buffer.split_off(size).into()))
}

async fn read_until_head(recv: &mut RecvStream, buffer: &mut Vec<u8>) -> Result<(u16, usize)> {
    loop {
        if let Some(head) = decode_response(buffer)? {
            return Ok(head);
        }
        let chunk = recv
            .read_chunk(usize::MAX, true)
            .await?
            .context(NO_ANSWER)?;
        buffer.extend_from_slice(&chunk.bytes);
    }
}

/// The sending half of a request: reset, not ended, when the visitor goes away within its body.
struct Request(Option<SendStream>);

impl Request {
    async fn send(&mut self, data: &Bytes) -> Result<()> {
        if let Some(stream) = &mut self.0 {
            stream.write_chunk(data.clone()).await?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut stream) = self.0.take() {
            stream.finish()?;
        }
        Ok(())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(mut stream) = self.0.take() {
            let _ = stream.reset(0u32.into()); // it may be over, which is as good
        }
    }
}

const NO_ANSWER: &str = "the stream ended before an answer";
