//! One QUIC connection of a tunnel, either side, as `asgi_quicktunnel` drives it.
//!
//! The crate has no socket, no clock and no thread: datagrams and the time come in, datagrams and
//! events go out. quinn-proto does the protocol; what is added here is backpressure by stream
//! ([`Engine::write`]), events that tell each thing once, and whose a datagram is ([`Acceptor`]).
//!
//! Units: bytes, and seconds on the caller's clock (see [`clock`]).

mod acceptor;
pub mod clock;
mod engine;
mod event;
mod header;
mod sending;
mod settings;
mod streams;
mod tls;

pub use acceptor::{Acceptor, Arrival};
pub use engine::{Engine, Statistics};
pub use event::{Closed, Event};
pub use settings::{ClientConfig, Limits, ServerConfig, SettingsError};
