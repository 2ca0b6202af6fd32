//! The log of the core and of QUIC, for those who look for a fault: nothing is written unless somebody asks.

use std::io;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Write to standard error what `directives` let through; whether that is new
#[pyfunction]
pub(crate) fn init_tracing(directives: &str) -> PyResult<bool> {
    let wrong = |why: String| PyValueError::new_err(format!("not a filter of a log: {directives:?}: {why}"));
    // It would be a module, all of which is written; but it is a level that is misspelt, of which nothing would ever be
    let is_level = |word: &&str| word.contains('=') || word.trim().parse::<LevelFilter>().is_ok();
    if let Some(word) = directives.split(',').find(|word| !is_level(word)) {
        return Err(wrong(format!("{word:?} is no level, and a module needs one")));
    }
    let filter: Targets = directives.parse().map_err(|error| wrong(format!("{error}")))?;
    Ok(tracing_subscriber::registry().with(filter).with(fmt::layer().with_writer(io::stderr)).try_init().is_ok())
}
