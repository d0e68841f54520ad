//! `asgi_quicktunnel_native`: the engine seam of `asgi_quicktunnel.transport.engine` on quinn-proto.
//!
//! The classes here *are* engines: Python calls them without a layer between. What each method does
//! is said there; the shapes are in `asgi_quicktunnel_native/__init__.pyi`.

mod acceptor;
mod config;
mod engine;
mod facts;
mod head;

use pyo3::prelude::*;

/// The extension module.
#[pymodule]
mod _engine {
    #[pymodule_export]
    use super::acceptor::Acceptor;
    #[pymodule_export]
    use super::config::{ClientConfig, ServerConfig};
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::facts::set_fact_types;
    #[pymodule_export]
    use super::head::read_request;

    /// The version of this package.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Which shape of the seam this is; `asgi_quicktunnel` refuses any other than its own.
    #[pymodule_export]
    const INTERFACE: u32 = 3;
}
