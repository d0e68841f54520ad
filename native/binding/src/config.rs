//! Settings of both sides, made once and shared by their connections.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use quicktunnel_quic::{Limits, SettingsError};

/// A connector's side; see `ClientSettings` for what each value means.
#[pyclass(frozen, module = "asgi_quicktunnel_native")]
pub struct ClientConfig {
    pub inner: quicktunnel_quic::ClientConfig,
}

#[pymethods]
impl ClientConfig {
    #[new]
    #[pyo3(signature = (trust_roots, *, alpn, idle_timeout, stream_window, connection_window, max_streams, send_high_water))]
    #[allow(clippy::too_many_arguments)] // they are keywords, and named as in `ClientSettings`
    fn new(
        trust_roots: &[u8],
        alpn: &str,
        idle_timeout: f64,
        stream_window: u64,
        connection_window: u64,
        max_streams: u64,
        send_high_water: usize,
    ) -> PyResult<Self> {
        let limits = Limits {
            idle_timeout,
            stream_window,
            connection_window,
            max_streams,
            send_high_water,
        };
        let inner = quicktunnel_quic::ClientConfig::new(trust_roots, alpn.as_bytes(), limits);
        Ok(Self {
            inner: inner.map_err(|error| unusable(&error))?,
        })
    }
}

/// An edge's side; see `ServerSettings` for what each value means.
#[pyclass(frozen, module = "asgi_quicktunnel_native")]
pub struct ServerConfig {
    pub inner: quicktunnel_quic::ServerConfig,
}

#[pymethods]
impl ServerConfig {
    #[new]
    #[pyo3(signature = (certificate_chain, private_key, *, alpn, idle_timeout, stream_window, connection_window, max_streams, send_high_water))]
    #[allow(clippy::too_many_arguments)] // as above
    fn new(
        certificate_chain: &[u8],
        private_key: &[u8],
        alpn: &str,
        idle_timeout: f64,
        stream_window: u64,
        connection_window: u64,
        max_streams: u64,
        send_high_water: usize,
    ) -> PyResult<Self> {
        let limits = Limits {
            idle_timeout,
            stream_window,
            connection_window,
            max_streams,
            send_high_water,
        };
        let inner = quicktunnel_quic::ServerConfig::new(
            certificate_chain,
            private_key,
            alpn.as_bytes(),
            limits,
        );
        Ok(Self {
            inner: inner.map_err(|error| unusable(&error))?,
        })
    }
}

pub fn unusable(error: &SettingsError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
