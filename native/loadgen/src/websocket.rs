//! The visitor's end of a WebSocket: masked frames out, whole frames in (RFC 6455 section 5).

use anyhow::{Result, bail, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a WebSocket travels on.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// An open WebSocket.
pub struct Socket {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

impl Socket {
    /// After the handshake; `buffer` is what came behind it.
    pub fn new(stream: impl Duplex + 'static, buffer: Vec<u8>) -> Self {
        Self {
            stream: Box::new(stream),
            buffer,
        }
    }

    /// Send a message of `payload` bytes, encoded by `frame`, and wait until it is echoed.
    ///
    /// # Errors
    /// The end of the stream, a close frame, or a message of another size.
    pub async fn echo(&mut self, encoded: &[u8], payload: usize) -> Result<()> {
        self.stream.write_all(encoded).await?;
        let size = self.next_message().await?;
        ensure!(
            size == payload,
            "{size} bytes came back of a message of {payload}"
        );
        Ok(())
    }

    /// The size of the next message; pings are answered meanwhile.
    pub async fn next_message(&mut self) -> Result<usize> {
        loop {
            let Some(found) = parse(&self.buffer)? else {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    bail!("the WebSocket ended");
                }
                continue;
            };
            let payload = self.buffer[found.head..found.head + found.payload].to_vec();
            self.buffer.drain(..found.head + found.payload);
            match found.opcode {
                TEXT | BINARY => return Ok(found.payload),
                PING => self.stream.write_all(&frame(PONG, &payload)).await?,
                PONG => {}
                CLOSE => bail!("the WebSocket was closed: {payload:02x?}"),
                other => bail!("a frame with opcode {other}"),
            }
        }
    }
}

/// A masked frame.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | opcode];
    match payload.len() {
        small @ 0..=125 => frame.push(MASKED | small as u8),
        medium @ 126..=0xffff => {
            frame.push(MASKED | TWO_BYTES);
            frame.extend((medium as u16).to_be_bytes());
        }
        large => {
            frame.push(MASKED | EIGHT_BYTES);
            frame.extend((large as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

struct Found {
    opcode: u8,
    head: usize,
    payload: usize,
}

/// The whole frame that `buffer` begins with.
fn parse(buffer: &[u8]) -> Result<Option<Found>> {
    let [first, second, rest @ ..] = buffer else {
        return Ok(None);
    };
    ensure!(
        first & 0xf0 == FINAL,
        "a fragment, or a reserved bit is set"
    );
    ensure!(second & MASKED == 0, "a masked frame from a server");
    let (head, payload) = match second & !MASKED {
        TWO_BYTES => match rest.first_chunk() {
            Some(size) => (4, u16::from_be_bytes(*size) as usize),
            None => return Ok(None),
        },
        EIGHT_BYTES => match rest.first_chunk() {
            Some(size) => (10, usize::try_from(u64::from_be_bytes(*size))?),
            None => return Ok(None),
        },
        small => (2, small as usize),
    };
    ensure!(payload <= MAX_PAYLOAD, "a frame of {payload} bytes");
    let is_whole = buffer.len() >= head + payload;
    Ok(is_whole.then_some(Found {
        opcode: first & 15,
        head,
        payload,
    }))
}

/// Opcodes of RFC 6455 section 5.2.
pub const BINARY: u8 = 2;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const TWO_BYTES: u8 = 126; // of payload length follow
const EIGHT_BYTES: u8 = 127;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MAX_PAYLOAD: usize = 16 << 20; // bytes

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_as_the_rfc_shows() {
        // RFC 6455 section 5.7, a masked "Hello".
        let expected = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(frame(TEXT, b"Hello"), expected);
    }

    #[test]
    fn sizes_take_as_many_bytes_as_they_need() {
        for size in [0, 125, 126, 65535, 65536] {
            let mut server = frame(BINARY, &vec![0; size]);
            server[1] &= !MASKED;
            let head = server.len() - size - 4;
            server.drain(head..head + 4);
            let found = parse(&server).unwrap().unwrap();
            assert_eq!((found.head, found.payload), (head, size));
            assert!(parse(&server[..server.len() - 1]).unwrap().is_none());
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_ping_is_answered_while_an_echo_is_waited_for() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut socket = Socket::new(near, Vec::new());
        far.write_all(&[FINAL | PING, 2, b'h', b'i', FINAL | BINARY, 1, b'x'])
            .await
            .unwrap();
        socket.echo(&frame(BINARY, b"x"), 1).await.unwrap();
        let mut sent = vec![0; 7 + 8];
        far.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent[7..], frame(PONG, b"hi"));
    }
}
