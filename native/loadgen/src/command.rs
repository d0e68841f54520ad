//! What the harness says, one JSON object a line, and what it is told.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::latencies::Rate;

/// One line on standard input.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Closed-loop requests.
    Requests(Requests),
    /// Streams that carry as much as they can.
    Bulk(Bulk),
    /// Closed-loop messages on web sockets.
    Websockets(Websockets),
    /// Streams that stay open until `release`.
    Hold(Hold),
    /// End what `hold` opened.
    Release,
}

/// How the app is reached: `{"tunnel": 0}` or `{"tcp": "127.0.0.1:8000"}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Through so many connections of the connector; 0 for all of them.
    Tunnel(usize),
    /// Over plain TCP.
    Tcp(SocketAddr),
}

/// Each of `concurrency` visitors asks, reads the answer and asks again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// How the app is reached.
    pub via: Via,
    /// Path and query.
    pub path: String,
    /// GET, or POST when there is a body.
    #[serde(default)]
    pub body: usize,
    /// Bytes that an answer has to have; `None` takes any.
    pub expect: Option<u64>,
    /// Request headers.
    #[serde(default = "twenty")]
    pub headers: usize,
    /// Visitors.
    pub concurrency: usize,
    /// Before the window that is measured, in seconds.
    #[serde(default)]
    pub warmup: f64,
    /// Of the window that is measured.
    pub seconds: f64,
}

/// Downloads or uploads without end, for as long as is measured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// How the app is reached.
    pub via: Via,
    /// Which way the bytes go.
    pub direction: Direction,
    /// How many at once.
    pub streams: usize,
    /// Visitors who ask for small answers meanwhile.
    #[serde(default)]
    pub small: usize,
    /// Before the window that is measured, in seconds.
    #[serde(default)]
    pub warmup: f64,
    /// Of the window that is measured.
    pub seconds: f64,
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the app.
    Down,
    /// To the app, which counts them.
    Up,
}

/// Each of `sockets` web sockets sends a message, waits for its echo and sends again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Websockets {
    /// How the app is reached.
    pub via: Via,
    /// How many.
    pub sockets: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Before the window that is measured, in seconds.
    #[serde(default)]
    pub warmup: f64,
    /// Of the window that is measured.
    pub seconds: f64,
}

/// So many open streams on which nothing happens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// How the app is reached.
    pub via: Via,
    /// Web sockets, or answers that never end.
    pub kind: Held,
    /// How many more.
    pub count: usize,
}

/// What is held open.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Web sockets.
    Websocket,
    /// Answers of which the head came.
    Answer,
}

/// One line on standard output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The edge listens on these UDP ports.
    Listening {
        /// One for each edge server.
        ports: Vec<u16>,
    },
    /// A connector registered.
    Registered {
        /// Counts up from 0 for each dial.
        connection: usize,
        /// What the connector calls it.
        conn_index: u8,
    },
    /// A connector said that it will go.
    Unregistered {
        /// Which one.
        connection: usize,
    },
    /// A connection ended.
    Closed {
        /// Which one.
        connection: usize,
        /// Why.
        reason: String,
    },
    /// A command was carried out.
    Done {
        /// What it measured.
        result: Outcome,
    },
    /// A command could not be carried out.
    Failed {
        /// Why.
        error: String,
    },
}

/// What a command measured.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of `requests` and `websockets`.
    Rate(Rate),
    /// Of `bulk`.
    Bulk(BulkOutcome),
    /// Of `hold` and `release`: what is open now.
    Open {
        /// Streams.
        open: usize,
    },
}

/// What a bulk transfer did.
#[derive(Debug, Serialize)]
pub struct BulkOutcome {
    /// Within the window.
    pub bytes: u64,
    /// In all, with what came before and after the window.
    pub total: u64,
    /// How long the window was.
    pub seconds: f64,
    /// `bytes` per second.
    pub per_second: f64,
    /// Transfers that ended by themselves, which none should.
    pub errors: u64,
    /// What the first of these said.
    pub first_error: Option<String>,
    /// The small requests beside it.
    pub small: Option<Rate>,
}

fn twenty() -> usize {
    20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_object() {
        let line = r#"{"command": "requests", "via": {"tunnel": 0}, "path": "/small",
            "expect": 100, "concurrency": 4, "seconds": 0.5}"#;
        let Command::Requests(requests) = serde_json::from_str(line).unwrap() else {
            panic!("not a command of requests");
        };
        assert_eq!(
            (requests.headers, requests.body, requests.expect),
            (20, 0, Some(100))
        );
        let line = r#"{"command": "release"}"#;
        assert!(matches!(
            serde_json::from_str(line).unwrap(),
            Command::Release
        ));
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let line = r#"{"command": "hold", "via": {"tcp": "127.0.0.1:1"}, "kind": "answer",
            "cuont": 4}"#;
        assert!(serde_json::from_str::<Command>(line).is_err());
    }
}
