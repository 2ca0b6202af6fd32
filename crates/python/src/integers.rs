//! Integers as long as they are on the wire; an error names the one that is not.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;

/// An application's code (WT §4.4)
pub(crate) fn code(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    value.extract().map_err(|error: PyErr| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            PyOverflowError::new_err(format!("code must be at least 0 and below 2**32: {value}"))
        } else {
            error
        }
    })
}
