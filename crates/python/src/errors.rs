//! Every error of the native side as a class of `web_transport.errors`.

use std::io;
use std::path::Path;

use pyo3::IntoPyObject;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};
use webtransport_reactor::proto::{ConfigError, ConnectError, SessionError};
use webtransport_reactor::{DatagramError, RequestGone, StartError, StreamError};

use crate::http;

/// An instance of a class of `web_transport.errors`, which is imported once
macro_rules! raise {
    ($py:expr, $class:ident, $args:expr) => {{
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        instance($py, &CLASS, stringify!($class), $args)
    }};
}

fn instance<'py>(py: Python<'py>, class: &'static PyOnceLock<Py<PyType>>, name: &str, args: impl PyCallArgs<'py>) -> PyErr {
    match class.import(py, "web_transport.errors", name).and_then(|class| class.call1(args)) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

pub(crate) fn config(error: ConfigError) -> PyErr {
    PyValueError::new_err(error.0)
}

/// What is wrong with an argument is a `ValueError`, an address in use too; what the system lacks is an `OSError`
pub(crate) fn start(error: StartError) -> PyErr {
    match error {
        StartError::Config(error) => config(error),
        error @ StartError::Bind(..) => PyValueError::new_err(error.to_string()),
        StartError::System(error) => PyOSError::new_err(error),
    }
}

/// The `OSError` that Python itself would raise for a file
pub(crate) fn file(path: &Path, error: &io::Error) -> PyErr {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_owned();
    match error.raw_os_error() {
        Some(code) => PyOSError::new_err((code, text, path.to_owned())),
        None => PyOSError::new_err(format!("{}: {text}", path.display())),
    }
}

pub(crate) fn connect(py: Python<'_>, error: &ConnectError) -> PyErr {
    match error {
        ConnectError::Rejected(response) => {
            let headers = http::pairs(py, &response.headers);
            raise!(py, SessionRejected, (response.status, headers, PyBytes::new(py, &response.body)))
        }
        error @ (ConnectError::Closed | ConnectError::TimedOut | ConnectError::Failed(_)) => {
            raise!(py, ConnectError, (error.to_string(),))
        }
    }
}

pub(crate) fn request(py: Python<'_>, error: &RequestGone) -> PyErr {
    raise!(py, SessionError, (error.to_string(),))
}

pub(crate) fn session(py: Python<'_>, error: &SessionError) -> PyErr {
    match error {
        SessionError::Local => raise!(py, SessionClosedLocally, ()),
        SessionError::Peer { by, code, reason } => {
            raise!(py, SessionClosedByPeer, (by.to_string(), *code, reason.as_str()))
        }
        SessionError::TimedOut => raise!(py, SessionTimeout, ()),
        SessionError::Protocol(message) => raise!(py, ProtocolError, (message.as_str(),)),
    }
}

pub(crate) fn stream(py: Python<'_>, error: &StreamError) -> PyErr {
    match error {
        StreamError::ClosedLocally => raise!(py, StreamClosedLocally, ()),
        StreamError::Stopped(code) => raise!(py, StreamClosedByPeer, ("stop", *code)),
        StreamError::Reset(code) => raise!(py, StreamClosedByPeer, ("reset", *code)),
        StreamError::Session(error) => session(py, error),
    }
}

pub(crate) fn datagram(py: Python<'_>, error: &DatagramError) -> PyErr {
    match error {
        DatagramError::TooLarge { .. } => raise!(py, DatagramTooLargeError, (error.to_string(),)),
        DatagramError::UnsupportedByPeer => raise!(py, DatagramNotSupportedError, ("unsupported_by_peer",)),
        DatagramError::Session(error) => session(py, error),
    }
}

/// The same as an object that is not raised
pub(crate) fn as_object<'py>(py: Python<'py>, error: PyErr) -> PyResult<Bound<'py, PyAny>> {
    Ok(error.into_pyobject(py)?.into_any())
}
