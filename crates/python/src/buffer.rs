//! Bytes across the border: one copy in, one copy out.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use webtransport_reactor::Chunks;

/// Call `f` with the bytes of any contiguous buffer
pub(crate) fn with_bytes<R>(data: &Bound<'_, PyAny>, f: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(f(bytes.as_bytes()));
    }
    let buffer = PyUntypedBuffer::get(data)?;
    if !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err("data must be contiguous"));
    }
    if buffer.len_bytes() == 0 {
        return Ok(f(&[])); // its pointer may be null
    }
    // SAFETY: the buffer is contiguous, as was just checked, and stays where it is until `buffer` is released. `f` does
    // not call Python, so nothing that honours the interpreter's lock writes to it meanwhile.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), buffer.len_bytes()) };
    Ok(f(bytes))
}

/// Somebody's memory, to be written to
pub(crate) struct Target(PyUntypedBuffer);

impl Target {
    /// The memory of a writable contiguous buffer, which stays where it is until this is dropped
    pub(crate) fn new(data: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(data)?;
        if buffer.readonly() {
            return Err(PyTypeError::new_err("the buffer must be writable"));
        }
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer must be contiguous"));
        }
        Ok(Self(buffer))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len_bytes()
    }

    /// Write the chunks to its beginning; returns how many bytes that was
    pub(crate) fn fill(&self, chunks: &Chunks) -> usize {
        let mut filled = 0;
        for chunk in chunks.iter() {
            let len = chunk.len().min(self.len() - filled);
            // SAFETY: the memory is writable and contiguous, as was checked, and `filled + len` is within it. It cannot be
            // the chunk's, which Python never sees.
            unsafe { self.0.buf_ptr().cast::<u8>().add(filled).copy_from_nonoverlapping(chunk.as_ptr(), len) };
            filled += len;
        }
        filled
    }
}

/// One `bytes` object of all chunks
pub(crate) fn gather<'py>(py: Python<'py>, chunks: &Chunks) -> PyResult<Bound<'py, PyBytes>> {
    if chunks.pieces() <= 1 {
        return Ok(PyBytes::new(py, chunks.iter().next().map_or(&[], |chunk| &chunk[..])));
    }
    let len = pyo3::ffi::Py_ssize_t::try_from(chunks.len())?;
    // SAFETY: a new object of exactly `len` bytes that nobody else has; every byte of it is written before it is handed
    // out. `PyBytes::new_with` would fill it with zeros first.
    unsafe {
        let object = pyo3::ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
        let bytes = Bound::from_owned_ptr_or_err(py, object)?;
        let mut at = pyo3::ffi::PyBytes_AsString(object).cast::<u8>();
        for chunk in chunks.iter() {
            at.copy_from_nonoverlapping(chunk.as_ptr(), chunk.len());
            at = at.add(chunk.len());
        }
        Ok(bytes.cast_into_unchecked())
    }
}
