//! What a connection tells its driver.

use quinn_proto::ConnectionError;

/// One thing that happened; `stream_id` as in RFC 9000 §2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The handshake is complete.
    Connected,
    /// The peer opened a bidirectional stream; no `Readable` tells of what it came with.
    StreamOpened(u64),
    /// There is data to read, or the end.
    Readable(u64),
    /// A write that was cut short would now accept more.
    Writable(u64),
    /// The peer sent `RESET_STREAM`.
    StreamReset {
        /// Which stream.
        stream_id: u64,
        /// The peer's application error code.
        code: u64,
    },
    /// The peer sent `STOP_SENDING`.
    StreamStopped {
        /// Which stream.
        stream_id: u64,
        /// The peer's application error code.
        code: u64,
    },
    /// The connection is over; nothing follows.
    Closed(Closed),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Close code (RFC 9000 §20), `None` where no side closed.
    pub code: Option<u64>,
    /// What the closing side said, or what happened.
    pub reason: String,
    /// Whether the peer closed.
    pub by_peer: bool,
    /// Whether silence ended it.
    pub idle: bool,
}

impl Closed {
    /// Closed here, with an application code.
    pub(crate) fn here(code: u64, reason: &[u8]) -> Self {
        Self {
            code: Some(code),
            reason: String::from_utf8_lossy(reason).into_owned(),
            by_peer: false,
            idle: false,
        }
    }
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        let (code, reason, by_peer) = match error {
            ConnectionError::ApplicationClosed(close) => (
                Some(close.error_code.into_inner()),
                lossy(&close.reason),
                true,
            ),
            ConnectionError::ConnectionClosed(close) => {
                (Some(close.error_code.into()), lossy(&close.reason), true)
            }
            ConnectionError::TransportError(error) => {
                (Some(error.code.into()), error.reason, false)
            }
            ConnectionError::TimedOut => {
                return Self {
                    code: None,
                    reason: "Idle timeout".to_owned(),
                    by_peer: false,
                    idle: true,
                };
            }
            ConnectionError::Reset => (None, "stateless reset".to_owned(), true),
            other => (None, other.to_string(), false),
        };
        Self {
            code,
            reason,
            by_peer,
            idle: false,
        }
    }
}

fn lossy(reason: &[u8]) -> String {
    String::from_utf8_lossy(reason).into_owned()
}
