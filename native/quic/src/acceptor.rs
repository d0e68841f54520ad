//! The server side of one UDP address: whose a datagram is (RFC 9000 §5.2).

use std::sync::Arc;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use rustc_hash::FxHashMap;
use rustls::crypto::aws_lc_rs;

use crate::engine::Engine;
use crate::header::{Header, parse, version_negotiation};
use crate::settings::{ServerConfig, endpoint_config};

/// Whose a datagram is; the datagram itself has not been taken in.
#[derive(Debug)]
pub enum Arrival {
    /// That of a connection known by this number.
    Known(u32),
    /// The first of a new connection.
    New(u32, Box<Engine>),
    /// Nobody's, and to be answered with these bytes.
    Reply(Vec<u8>),
    /// Nobody's.
    Unknown,
}

/// Tells connections apart by the ids that they are addressed with.
///
/// The ids that a connection hands out begin with its number, so none has to be remembered; only
/// the id that the client made up for its first packets is.
#[derive(Debug)]
pub struct Acceptor {
    config: ServerConfig,
    initial_ids: FxHashMap<Vec<u8>, u32>,
    connections: FxHashMap<u32, Vec<u8>>,
}

impl Acceptor {
    /// An acceptor without connections.
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            initial_ids: FxHashMap::default(),
            connections: FxHashMap::default(),
        }
    }

    /// Whose this datagram is, at `now` seconds.
    pub fn accept(&mut self, datagram: &[u8], now: f64) -> Arrival {
        let Some(header) = parse(datagram, ID_LENGTH) else {
            return Arrival::Unknown;
        };
        match header {
            Header::Short { destination } => self
                .known(destination)
                .map_or(Arrival::Unknown, Arrival::Known),
            Header::Long {
                destination,
                is_initial,
            } => match self.known(destination) {
                Some(number) => Arrival::Known(number),
                None if is_initial && datagram.len() >= SMALLEST_INITIAL => {
                    let (number, engine) = self.create(destination, now);
                    Arrival::New(number, Box::new(engine))
                }
                None => Arrival::Unknown,
            },
            Header::OtherVersion {
                version,
                destination,
                source,
            } => {
                if version == 0 || datagram.len() < SMALLEST_INITIAL {
                    return Arrival::Unknown;
                }
                Arrival::Reply(version_negotiation(destination, source))
            }
        }
    }

    /// Drop a connection; its number is free again.
    pub fn forget(&mut self, number: u32) {
        if let Some(initial_id) = self.connections.remove(&number) {
            self.initial_ids.remove(&initial_id);
        }
    }

    fn known(&self, destination: &[u8]) -> Option<u32> {
        if let Some(&number) = self.initial_ids.get(destination) {
            return Some(number);
        }
        if destination.len() != ID_LENGTH {
            return None;
        }
        let number = u32::from_be_bytes(*destination.first_chunk()?);
        self.connections.contains_key(&number).then_some(number)
    }

    fn create(&mut self, initial_id: &[u8], now: f64) -> (u32, Engine) {
        let number = loop {
            let number = u32::from_be_bytes(random());
            if !self.connections.contains_key(&number) {
                break number;
            }
        };
        let mut endpoint: EndpointConfig = endpoint_config();
        endpoint.cid_generator(move || Box::new(NumberedIds(number)));
        self.connections.insert(number, initial_id.to_vec());
        self.initial_ids.insert(initial_id.to_vec(), number);
        (
            number,
            Engine::server(&self.config, Arc::new(endpoint), now),
        )
    }
}

/// Ids of one connection: its number, then random bytes.
struct NumberedIds(u32);

impl ConnectionIdGenerator for NumberedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_LENGTH];
        id[..4].copy_from_slice(&self.0.to_be_bytes());
        id[4..].copy_from_slice(&random());
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

fn random() -> [u8; 4] {
    let mut bytes = [0; 4];
    aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .expect("the system has random bytes");
    bytes
}

const ID_LENGTH: usize = 8; // bytes
const SMALLEST_INITIAL: usize = 1200; // bytes; RFC 9000 §14.1
