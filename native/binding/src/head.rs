//! A request's head as Python objects.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use quicktunnel_wire::Head;

/// Kind, dest, method, host, headers (names in lower case) and what follows the head.
type Parts<'py> = (
    u16,
    Bound<'py, PyBytes>,
    Bound<'py, PyString>,
    Bound<'py, PyBytes>,
    Bound<'py, PyList>,
    Bound<'py, PyBytes>,
);

/// The request that a stream begins with; see `asgi_quicktunnel.protocol.datastream`.
///
/// None unless these first bytes hold all of its head, laid out as usual: the reader there says
/// what is to be made of anything else.
#[pyfunction]
pub fn read_request<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Option<Parts<'py>>> {
    let Some(head) = quicktunnel_wire::read_request(data) else {
        return Ok(None);
    };
    let Ok(method) = std::str::from_utf8(head.method) else {
        return Ok(None); // a token is ASCII
    };
    Ok(Some((
        head.kind,
        PyBytes::new(py, head.dest),
        PyString::new(py, method),
        PyBytes::new(py, head.host),
        headers(py, &head)?,
        PyBytes::new(py, &data[head.end..]),
    )))
}

fn headers<'py>(py: Python<'py>, head: &Head<'_>) -> PyResult<Bound<'py, PyList>> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut pairs = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let known = names.as_ref().and_then(|names| names.get(*name));
        let lower = match known {
            Some(lower) => lower.bind(py).clone(),
            None => remember(py, &mut names, name),
        };
        pairs.push(PyTuple::new(py, [lower, PyBytes::new(py, value)])?);
    }
    PyList::new(py, pairs)
}

/// The names in use, by how the edge spells them: most requests repeat the same few.
static NAMES: Mutex<Option<HashMap<Vec<u8>, Py<PyBytes>>>> = Mutex::new(None);

fn remember<'py>(
    py: Python<'py>,
    names: &mut Option<HashMap<Vec<u8>, Py<PyBytes>>>,
    name: &[u8],
) -> Bound<'py, PyBytes> {
    let lower = PyBytes::new(py, &name.to_ascii_lowercase());
    if name.len() <= REMEMBERED_BYTES {
        let names = names.get_or_insert_default();
        if names.len() >= REMEMBERED_NAMES {
            names.clear(); // visitors choose names too: they may empty this, but not make it grow
        }
        names.insert(name.to_vec(), lower.clone().unbind());
    }
    lower
}

const REMEMBERED_NAMES: usize = 1024;
const REMEMBERED_BYTES: usize = 128;
