//! Ways to the app, and visitors who take them.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use quinn::Connection;

use crate::plain::PlainVisitor;
use crate::question::{OnData, Question};
use crate::tunnel;
use crate::websocket::Socket;

/// How the app is reached.
#[derive(Clone)]
pub enum Door {
    /// Through these connections of a connector, in turn.
    Tunnel(Vec<Connection>),
    /// Over plain TCP.
    Tcp(SocketAddr),
}

impl Door {
    /// The visitor with this number; visitors are spread evenly over the connections.
    ///
    /// # Errors
    /// No connector is registered.
    pub fn visitor(&self, number: usize) -> Result<Visitor> {
        match self {
            Self::Tunnel(connections) => {
                ensure!(!connections.is_empty(), "no connector is registered");
                let connection = connections[number % connections.len()].clone();
                Ok(Visitor::Tunnel(connection))
            }
            Self::Tcp(address) => Ok(Visitor::Tcp(PlainVisitor::new(*address))),
        }
    }
}

/// Somebody who asks one thing after the other.
pub enum Visitor {
    /// Through a tunnel.
    Tunnel(Connection),
    /// Over plain TCP.
    Tcp(PlainVisitor),
}

impl Visitor {
    /// Ask, and read the whole answer; how many bytes its body had.
    ///
    /// Dropping the future is what a visitor does who goes away.
    pub async fn ask(&mut self, question: &Question, on_data: OnData<'_>) -> Result<u64> {
        static BLOCK: Bytes = Bytes::from_static(&[b'u'; 64 << 10]);
        match self {
            Self::Tunnel(connection) => tunnel::ask(connection, question, on_data, &BLOCK).await,
            Self::Tcp(visitor) => visitor.ask(question, on_data, &BLOCK).await,
        }
    }

    /// Open a WebSocket.
    pub async fn upgrade(self, question: &Question) -> Result<Socket> {
        match self {
            Self::Tunnel(connection) => tunnel::upgrade(&connection, question).await,
            Self::Tcp(visitor) => visitor.upgrade(question).await,
        }
    }
}
