//! Requests of plain HTTP, and the fields that all messages have.

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use webtransport_reactor::proto::{self, Field, Response, check_offer};
use webtransport_reactor::{HttpHandle, HttpRequestHandle};

use crate::{errors, options};

/// Names and values: values are bytes, for no encoding is promised
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// Fields for a message of ours; `ValueError` for one that HTTP/3 forbids, or that is ours to write
pub(crate) fn fields(headers: Headers) -> PyResult<Vec<Field>> {
    let check = |(name, value): (String, Vec<u8>)| {
        let field = Field::new(name, value);
        let problem = match (field.is_reserved(), field.is_valid()) {
            (true, _) => "is written by the library",
            (_, false) => "is not allowed in HTTP/3",
            (false, true) => return Ok(field),
        };
        Err(PyValueError::new_err(format!("header field {:?} {problem}", field.name)))
    };
    headers.into_iter().map(check).collect()
}

/// The fields of a message, as Python takes them
pub(crate) fn pairs<'py, 'a>(py: Python<'py>, headers: &'a [Field]) -> Vec<(&'a str, Bound<'py, PyBytes>)> {
    headers.iter().map(|Field { name, value }| (name.as_str(), PyBytes::new(py, value))).collect()
}

/// An answer; its status was checked by the caller
pub(crate) fn response(status: u16, headers: Headers, body: Vec<u8>) -> PyResult<Response> {
    Ok(Response { headers: fields(headers)?, body: Bytes::from(body), ..Response::new(status) })
}

/// What a client asks for, checked, wherever the server may be
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Target {
    server_name: String,
    authority: String,
    path: String,
    headers: Vec<Field>,
    subprotocols: Vec<String>,
    require_subprotocol: bool,
    pool: bool,
}

#[pymethods]
impl Target {
    #[new]
    #[pyo3(signature = (server_name, authority, path, headers, subprotocols, *, require_subprotocol, pool))]
    fn new(
        server_name: String,
        authority: String,
        path: String,
        headers: Headers,
        subprotocols: Vec<String>,
        require_subprotocol: bool,
        pool: bool,
    ) -> PyResult<Self> {
        check_offer(&subprotocols).map_err(errors::config)?;
        if require_subprotocol && subprotocols.is_empty() {
            return Err(PyValueError::new_err("a subprotocol is required, but none is offered"));
        }
        Ok(Self { server_name, authority, path, headers: fields(headers)?, subprotocols, require_subprotocol, pool })
    }
}

impl Target {
    pub(crate) fn at(&self, remote: std::net::SocketAddr) -> proto::Target {
        proto::Target {
            remote,
            server_name: self.server_name.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            subprotocols: self.subprotocols.clone(),
            pool: self.pool,
            require_subprotocol: self.require_subprotocol,
        }
    }
}

/// Where a server's plain requests come out; it does not keep the endpoint open
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct HttpRequests(pub(crate) HttpHandle);

#[pymethods]
impl HttpRequests {
    /// The next request; None and `closed`: no more will come
    fn next(&self, token: u64) -> Option<HttpRequest> {
        self.0.next(token).map(HttpRequest)
    }

    /// The endpoint is closed
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// A plain request. Dropping it unanswered answers with 500.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct HttpRequest(HttpRequestHandle);

#[pymethods]
impl HttpRequest {
    /// GET, HEAD, POST and so on
    #[getter]
    fn method(&self) -> &str {
        &self.0.request().method
    }

    /// The host, and the port unless it is the default
    #[getter]
    fn authority(&self) -> &str {
        &self.0.request().authority
    }

    /// With its query
    #[getter]
    fn path(&self) -> &str {
        &self.0.request().path
    }

    /// All fields but the pseudo-headers
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(&str, Bound<'py, PyBytes>)> {
        pairs(py, &self.0.request().headers)
    }

    /// The client's address
    #[getter]
    fn remote_address(&self) -> (String, u16) {
        options::pair(self.0.remote_address())
    }

    /// Answer, once; nothing comes of it if the client has gone
    fn answer(&self, status: u16, headers: Headers, body: Vec<u8>) -> PyResult<()> {
        self.0.answer(response(status, headers, body)?);
        Ok(())
    }
}
