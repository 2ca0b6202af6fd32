//! The two halves of a stream: one copy in, one copy out.

use std::sync::atomic::{AtomicI64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use webtransport_reactor::{RecvHandle, SendHandle};

use crate::{buffer, errors, integers};

/// The sending half. Dropping it unfinished resets it with code 0.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct SendStream {
    handle: SendHandle,
    order: AtomicI64,
}

impl SendStream {
    pub(crate) fn new(handle: SendHandle) -> Self {
        Self { handle, order: AtomicI64::new(0) }
    }
}

#[pymethods]
impl SendStream {
    /// The stream's number on the wire
    #[getter]
    fn stream_id(&self) -> u64 {
        self.handle.id().as_u64()
    }

    /// Bytes left, fewer than data has unless that is empty
    fn write(&self, py: Python<'_>, data: &Bound<'_, PyAny>, token: u64) -> PyResult<Option<usize>> {
        let left = buffer::with_bytes(data, |data| Ok(self.handle.write(data, token)?.map(|taken| data.len() - taken)))?;
        left.map_err(|error| errors::stream(py, &error))
    }

    /// End the stream after what was written
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.finish().map_err(|error| errors::stream(py, &error))
    }

    /// Give the stream up
    fn reset(&self, py: Python<'_>, #[pyo3(from_py_with = integers::code)] code: u32) -> PyResult<()> {
        self.handle.reset(code).map_err(|error| errors::stream(py, &error))
    }

    /// The peer's stop code, or `(None,)` once all is acknowledged
    fn closed(&self, py: Python<'_>, token: u64) -> PyResult<Option<(Option<u32>,)>> {
        let closed = self.handle.closed(token).map_err(|error| errors::stream(py, &error))?;
        Ok(closed.map(|code| (code,)))
    }

    /// Bytes written, sent, and acknowledged if that is known
    fn stats(&self) -> (u64, u64, Option<u64>) {
        let counts = self.handle.counts();
        (counts.written, counts.sent, counts.acknowledged)
    }

    /// The group, and the order in it: the highest goes first
    fn set_send_order(&self, group: u32, order: i64) {
        self.order.store(order, Ordering::Relaxed);
        self.handle.set_send_order(group, order);
    }

    /// The highest of a group goes first
    #[getter]
    fn send_order(&self) -> i64 {
        self.order.load(Ordering::Relaxed)
    }
}

/// The receiving half. Dropping it before its end stops it with code 0.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct RecvStream(RecvHandle);

impl RecvStream {
    pub(crate) fn new(handle: RecvHandle) -> Self {
        Self(handle)
    }
}

#[pymethods]
impl RecvStream {
    /// The stream's number on the wire
    #[getter]
    fn stream_id(&self) -> u64 {
        self.0.id().as_u64()
    }

    /// 1 to n bytes, as many as are there; `b""` at the end
    fn read<'py>(&self, py: Python<'py>, n: usize, token: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let chunks = self.0.read(n, token).map_err(|error| errors::stream(py, &error))?;
        chunks.map(|chunks| buffer::gather(py, &chunks)).transpose()
    }

    /// 1 to as many bytes as `buffer` holds, as many as are there, written into it; 0 at the end
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>, token: u64) -> PyResult<Option<usize>> {
        let target = buffer::Target::new(buffer)?;
        let chunks = self.0.read(target.len(), token).map_err(|error| errors::stream(py, &error))?;
        Ok(chunks.map(|chunks| target.fill(&chunks)))
    }

    /// Bytes received and read
    fn stats(&self) -> (u64, u64) {
        let counts = self.0.counts();
        (counts.received, counts.read)
    }

    /// Ask the peer to send no more
    fn stop(&self, py: Python<'_>, #[pyo3(from_py_with = integers::code)] code: u32) -> PyResult<()> {
        self.0.stop(code).map_err(|error| errors::stream(py, &error))
    }

    /// The peer's reset code, or `(None,)` at the end
    fn closed(&self, py: Python<'_>, token: u64) -> PyResult<Option<(Option<u32>,)>> {
        let closed = self.0.closed(token).map_err(|error| errors::stream(py, &error))?;
        Ok(closed.map(|code| (code,)))
    }
}
