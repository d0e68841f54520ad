//! Events and snapshots as the Python classes of `asgi_quicktunnel.transport.engine`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use quicktunnel_quic::{Event, Statistics};

/// The classes that facts are made of.
struct FactTypes {
    connected: Py<PyAny>,
    stream_opened: Py<PyAny>,
    readable: Py<PyAny>,
    writable: Py<PyAny>,
    stream_reset: Py<PyAny>,
    stream_stopped: Py<PyAny>,
    closed: Py<PyAny>,
    statistics: Py<PyAny>,
}

static FACT_TYPES: PyOnceLock<FactTypes> = PyOnceLock::new();

/// Say which classes events and snapshots are made of; once, before any engine. Repeated calls do
/// nothing.
#[pyfunction]
#[pyo3(signature = (*, connected, stream_opened, readable, writable, stream_reset, stream_stopped, closed, statistics))]
#[allow(clippy::too_many_arguments)] // one for each class
pub fn set_fact_types(
    py: Python<'_>,
    connected: Py<PyAny>,
    stream_opened: Py<PyAny>,
    readable: Py<PyAny>,
    writable: Py<PyAny>,
    stream_reset: Py<PyAny>,
    stream_stopped: Py<PyAny>,
    closed: Py<PyAny>,
    statistics: Py<PyAny>,
) {
    FACT_TYPES.get_or_init(py, || FactTypes {
        connected,
        stream_opened,
        readable,
        writable,
        stream_reset,
        stream_stopped,
        closed,
        statistics,
    });
}

/// The event as its Python class.
pub fn event(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    let types = fact_types(py)?;
    match event {
        Event::Readable(id) => types.readable.call1(py, (id,)),
        Event::StreamOpened(id) => types.stream_opened.call1(py, (id,)),
        Event::Writable(id) => types.writable.call1(py, (id,)),
        Event::StreamStopped { stream_id, code } => {
            types.stream_stopped.call1(py, (stream_id, code))
        }
        Event::StreamReset { stream_id, code } => types.stream_reset.call1(py, (stream_id, code)),
        Event::Connected => types.connected.call0(py),
        Event::Closed(closed) => types.closed.call1(
            py,
            (closed.code, closed.reason, closed.by_peer, closed.idle),
        ),
    }
}

/// The snapshot as its Python class.
pub fn statistics(py: Python<'_>, statistics: &Statistics) -> PyResult<Py<PyAny>> {
    let values = PyDict::new(py);
    values.set_item("rtt", statistics.rtt)?;
    values.set_item("congestion_window", statistics.congestion_window)?;
    values.set_item("packets_lost", statistics.packets_lost)?;
    values.set_item("bytes_sent", statistics.bytes_sent)?;
    values.set_item("bytes_received", statistics.bytes_received)?;
    fact_types(py)?.statistics.call(py, (), Some(&values))
}

fn fact_types(py: Python<'_>) -> PyResult<&FactTypes> {
    FACT_TYPES
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("set_fact_types was not called"))
}
