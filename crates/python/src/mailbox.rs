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

    /// Silences the bell, turns the endpoints that it rang for, and takes every token
    fn drain(&self) -> Vec<u64> {
        self.0.drain()
    }

    /// Promises a `flush`: until then the bell does not ring for endpoints that have something to send
    fn attend(&self) {
        self.0.attend();
    }

    /// Turns the endpoints that have something to send, or other things to do, and takes every token; None: there are none
    fn flush(&self) -> Option<Vec<u64>> {
        self.0.flush()
    }
}
