//! The log of the core and of QUIC, for those who look for a fault: nothing is written unless somebody asks.

use std::io;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Write to standard error what `directives` let through; whether that is new
#[pyfunction]
pub(crate) fn init_tracing(directives: &str) -> PyResult<bool> {
    let filter: Targets =
        directives.parse().map_err(|error| PyValueError::new_err(format!("not a filter of a log: {directives:?}: {error}")))?;
    Ok(tracing_subscriber::registry().with(filter).with(fmt::layer().with_writer(io::stderr)).try_init().is_ok())
}
