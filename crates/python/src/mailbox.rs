//! Tokens on their way to one event loop.

use std::sync::Arc;

use pyo3::prelude::*;
use webtransport_reactor as reactor;

/// Tokens on their way to one event loop, and the bell that announces them
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Mailbox(pub(crate) Arc<reactor::Mailbox>);

#[pymethods]
impl Mailbox {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Arc::new(reactor::Mailbox::new()?)))
    }

    /// Readable while tokens wait
    fn fileno(&self) -> u64 {
        self.0.fileno()
    }

    /// An endpoint has something to send, or other things to do, and waits for `drain`
    #[getter]
    fn asked(&self) -> bool {
        self.0.is_asked()
    }

    /// Silences the bell, turns the endpoints that it rang for, and takes every token
    fn drain(&self) -> Vec<u64> {
        self.0.drain()
    }
}
