//! `web_transport._web_transport`: the handles of `webtransport_reactor` as Python classes.
//!
//! It does three things: copy bytes, map errors, park a waiter. It starts no thread, never waits, and never takes the
//! interpreter's lock by itself, so a reactor cannot be held up by Python, nor Python by a reactor.

// pyo3's macros want owned arguments and results that never fail
#![allow(clippy::needless_pass_by_value)]

mod buffer;
mod endpoint;
mod errors;
mod http;
mod integers;
mod logs;
mod mailbox;
mod options;
mod session;
mod stats;
mod stream;

use std::time::{Duration, SystemTime};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use webtransport_reactor::proto;

/// A certificate for `subject_alt_names`, and its key: DER and PKCS#8 DER; `validity` is in seconds
#[pyfunction]
fn generate_self_signed<'py>(
    py: Python<'py>,
    subject_alt_names: Vec<String>,
    validity: Option<f64>,
) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
    let now = SystemTime::now();
    let (certificate, key) = match validity {
        None => proto::tls::generate_self_signed(&subject_alt_names, now),
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(validity) if !validity.is_zero() => proto::tls::generate_self_signed_for(&subject_alt_names, validity, now),
            _ => return Err(PyValueError::new_err(format!("validity must be a number of seconds, more than 0: {seconds}"))),
        },
    }
    .map_err(errors::config)?;
    Ok((PyBytes::new(py, &certificate), PyBytes::new(py, &key)))
}

/// The SHA-256 of a certificate
#[pyfunction]
fn certificate_hash<'py>(py: Python<'py>, certificate_der: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &proto::tls::fingerprint(certificate_der))
}

/// The certificates in a PEM file's text
#[pyfunction]
fn pem_certificates<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let certificates = proto::tls::pem::certificates(text).map_err(errors::config)?;
    Ok(certificates.iter().map(|certificate| PyBytes::new(py, certificate)).collect())
}

/// The private key in a PEM file's text
#[pyfunction]
fn pem_private_key<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &proto::tls::pem::private_key(text).map_err(errors::config)?))
}

/// To be called in a forked child before anything else: there every endpoint is closed
#[pyfunction]
fn after_fork_in_child() {
    webtransport_reactor::after_fork_in_child();
}

#[pymodule(gil_used = false)]
fn _web_transport(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(generate_self_signed, module)?)?;
    module.add_function(wrap_pyfunction!(certificate_hash, module)?)?;
    module.add_function(wrap_pyfunction!(pem_certificates, module)?)?;
    module.add_function(wrap_pyfunction!(pem_private_key, module)?)?;
    module.add_function(wrap_pyfunction!(logs::init_tracing, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork_in_child, module)?)?;
    module.add_class::<mailbox::Mailbox>()?;
    module.add_class::<endpoint::Endpoint>()?;
    module.add_class::<http::Target>()?;
    module.add_class::<http::HttpRequests>()?;
    module.add_class::<http::HttpRequest>()?;
    module.add_class::<session::Connecting>()?;
    module.add_class::<session::Exporting>()?;
    module.add_class::<session::Request>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<stream::SendStream>()?;
    module.add_class::<stream::RecvStream>()?;
    Ok(())
}
