//! Integers as long as they are on the wire; an error names the one that is not.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// An application's code (WT §4.4)
pub(crate) fn code(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    value.extract().map_err(|error| named(error, value, "code must be at least 0 and below 2**32"))
}

/// A place in a send group
pub(crate) fn order(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    value.extract().map_err(|error| named(error, value, "send_order must be at least -2**63 and below 2**63"))
}

fn named(error: PyErr, value: &Bound<'_, PyAny>, rule: &str) -> PyErr {
    if error.is_instance_of::<PyOverflowError>(value.py()) { PyOverflowError::new_err(format!("{rule}: {value}")) } else { error }
}
