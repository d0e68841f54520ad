//! The server side of one UDP address as a Python object.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use quicktunnel_quic::Arrival;

use crate::config::ServerConfig;
use crate::engine::Engine;

/// Tells whose a datagram is; `QuicAcceptor` says what each method does.
#[pyclass(frozen, module = "asgi_quicktunnel_native")]
pub struct Acceptor {
    state: Mutex<State>,
}

struct State {
    routes: quicktunnel_quic::Acceptor,
    engines: HashMap<u32, Py<Engine>>,
}

impl Acceptor {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection, and what to send back at once.
type Accepted<'py> = (Option<Py<Engine>>, Option<Bound<'py, PyBytes>>);

#[pymethods]
impl Acceptor {
    #[new]
    fn new(config: &ServerConfig) -> Self {
        Self {
            state: Mutex::new(State {
                routes: quicktunnel_quic::Acceptor::new(config.inner.clone()),
                engines: HashMap::new(),
            }),
        }
    }

    #[pyo3(signature = (datagram, address, *, now))]
    fn accept<'py>(
        &self,
        py: Python<'py>,
        datagram: &[u8],
        address: &Bound<'py, PyAny>,
        now: f64,
    ) -> PyResult<Accepted<'py>> {
        let _ = address; // connections are told apart by their ids alone
        let mut state = self.lock();
        match state.routes.accept(datagram, now) {
            Arrival::Known(number) => Ok((
                state
                    .engines
                    .get(&number)
                    .map(|engine| engine.clone_ref(py)),
                None,
            )),
            Arrival::New(number, engine) => {
                let engine = Py::new(py, Engine::new(*engine))?;
                state.engines.insert(number, engine.clone_ref(py));
                Ok((Some(engine), None))
            }
            Arrival::Reply(reply) => Ok((None, Some(PyBytes::new(py, &reply)))),
            Arrival::Unknown => Ok((None, None)),
        }
    }

    fn forget(&self, engine: &Bound<'_, Engine>) {
        let mut state = self.lock();
        let number = state
            .engines
            .iter()
            .find_map(|(number, known)| known.is(engine).then_some(*number));
        if let Some(number) = number {
            state.engines.remove(&number);
            state.routes.forget(number);
        }
    }
}
