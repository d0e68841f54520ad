//! One connection as a Python object.

use std::iter;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyBytesMethods, PyList, PySequence};

use crate::config::{ClientConfig, unusable};
use crate::facts;

/// One QUIC connection; `QuicEngine` says what each method does.
///
/// It may be used from any thread, one at a time.
#[pyclass(frozen, module = "asgi_quicktunnel_native")]
pub struct Engine {
    inner: Mutex<quicktunnel_quic::Engine>,
}

impl Engine {
    pub fn new(inner: quicktunnel_quic::Engine) -> Self {
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, quicktunnel_quic::Engine> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Engine {
    /// Begin a connection: the first `datagrams_to_send` carries the client's Initial.
    #[staticmethod]
    #[pyo3(signature = (config, server_name, *, now))]
    fn client(config: &ClientConfig, server_name: &str, now: f64) -> PyResult<Self> {
        quicktunnel_quic::Engine::client(&config.inner, server_name, now)
            .map(Self::new)
            .map_err(|error| unusable(&error))
    }

    #[pyo3(signature = (datagrams, *, now))]
    fn receive_datagrams(&self, datagrams: &Bound<'_, PySequence>, now: f64) -> PyResult<()> {
        let items = datagrams.to_list()?;
        let payloads = items
            .iter()
            .map(|item| Ok(item.cast_into::<PyBytes>()?))
            .collect::<PyResult<Vec<_>>>()?;
        self.lock()
            .receive(payloads.iter().map(PyBytesMethods::as_bytes), now);
        Ok(())
    }

    #[pyo3(signature = (*, now))]
    fn datagrams_to_send<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyList>> {
        let mut datagrams = Vec::new();
        self.lock()
            .transmit(now, |payload| datagrams.push(PyBytes::new(py, payload)));
        PyList::new(py, datagrams)
    }

    fn next_timeout(&self) -> Option<f64> {
        self.lock().next_timeout()
    }

    #[pyo3(signature = (*, now))]
    fn handle_timeout(&self, now: f64) {
        self.lock().handle_timeout(now);
    }

    fn poll_events<'py>(&self, py: Python<'py>, max_events: usize) -> PyResult<Bound<'py, PyList>> {
        let events: Vec<_> = {
            let mut engine = self.lock(); // not while Python is called
            iter::from_fn(|| engine.poll_event())
                .take(max_events)
                .collect()
        };
        let events = events.into_iter().map(|event| facts::event(py, event));
        PyList::new(py, events.collect::<PyResult<Vec<_>>>()?)
    }

    fn open_stream(&self) -> u64 {
        self.lock().open_stream()
    }

    fn read<'py>(
        &self,
        py: Python<'py>,
        stream_id: u64,
        max_bytes: usize,
    ) -> PyResult<(Bound<'py, PyBytes>, bool)> {
        let mut chunks = Vec::new();
        let end = self.lock().read(stream_id, max_bytes, &mut chunks);
        let data = match chunks.as_slice() {
            [chunk] => PyBytes::new(py, chunk),
            chunks => {
                let size = chunks.iter().fold(0, |size, chunk| size + chunk.len());
                PyBytes::new_with(py, size, |mut rest| {
                    for chunk in chunks {
                        let (part, tail) = rest.split_at_mut(chunk.len());
                        part.copy_from_slice(chunk);
                        rest = tail;
                    }
                    Ok(())
                })?
            }
        };
        Ok((data, end))
    }

    #[pyo3(signature = (stream_id, data, *, end = false))]
    fn write(&self, stream_id: u64, data: &Bound<'_, PyAny>, end: bool) -> PyResult<usize> {
        if let Ok(data) = data.cast::<PyBytes>() {
            return Ok(self.lock().write(stream_id, data.as_bytes(), end));
        }
        let data = PyBuffer::<u8>::get(data)?.to_vec(data.py())?;
        Ok(self.lock().write(stream_id, &data, end))
    }

    fn reset(&self, stream_id: u64, code: u64) {
        self.lock().reset(stream_id, code);
    }

    fn stop(&self, stream_id: u64, code: u64) {
        self.lock().stop(stream_id, code);
    }

    fn ping(&self) {
        self.lock().ping();
    }

    fn close(&self, code: u64, reason: &str) {
        self.lock().close(code, reason.as_bytes());
    }

    fn statistics(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let statistics = self.lock().statistics();
        facts::statistics(py, &statistics)
    }

    /// UDP payload bytes that one datagram was found to carry.
    #[getter]
    fn mtu(&self) -> u16 {
        self.lock().statistics().mtu
    }
}
