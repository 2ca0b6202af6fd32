//! Sessions, and how they come about.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use webtransport_reactor::proto::Response;
use webtransport_reactor::{ConnectingHandle, DatagramLimits, ExportHandle, RequestHandle, SessionHandle};

use crate::http::Headers;
use crate::stream::{RecvStream, SendStream};
use crate::{buffer, errors, http, integers, options, stats};

/// An attempt to connect. Dropping it before `poll` returned the session cancels it.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Connecting(pub(crate) ConnectingHandle);

#[pymethods]
impl Connecting {
    /// The session, once
    fn poll(&self, py: Python<'_>, token: u64) -> PyResult<Option<Session>> {
        let session = self.0.poll(token).map_err(|error| errors::connect(py, &error))?;
        Ok(session.map(Session))
    }

    /// The server was reached, and asked for the session
    fn asked(&self, token: u64) -> bool {
        self.0.is_asked(token)
    }
}

/// A client's request for a session. Dropping it unanswered rejects it with 404.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Request(pub(crate) RequestHandle);

#[pymethods]
impl Request {
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
        http::pairs(py, &self.0.request().headers)
    }

    /// The application protocols that the client offers, the one it likes best first
    #[getter]
    fn subprotocols(&self) -> Vec<String> {
        self.0.request().subprotocols.clone()
    }

    /// The number of its connection
    #[getter]
    fn connection_id(&self) -> u64 {
        self.0.connection()
    }

    /// The client's address
    #[getter]
    fn remote_address(&self) -> (String, u16) {
        options::pair(self.0.remote_address())
    }

    /// What the client proved itself with
    #[getter]
    fn client_certificates<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        self.0.client_certificates().iter().map(|certificate| PyBytes::new(py, certificate)).collect()
    }

    /// The version of WebTransport that both sides speak
    #[getter]
    fn dialect(&self) -> &'static str {
        self.0.dialect().name()
    }

    /// Establish the session
    fn accept(&self, py: Python<'_>, status: u16, headers: Headers, subprotocol: Option<String>) -> PyResult<Session> {
        if let Some(name) = subprotocol.as_ref().filter(|name| !self.0.request().subprotocols.contains(name)) {
            return Err(PyValueError::new_err(format!("subprotocol was not offered: {name:?}")));
        }
        let response = Response { subprotocol, ..http::response(status, headers, Vec::new())? };
        self.0.accept(response).map(Session).map_err(|error| errors::request(py, &error))
    }

    /// Refuse it
    fn reject(&self, py: Python<'_>, status: u16, headers: Headers, body: Vec<u8>) -> PyResult<()> {
        self.0.reject(http::response(status, headers, body)?).map_err(|error| errors::request(py, &error))
    }
}

/// Seconds, datagrams, and whether the newest goes where there are too many
type Limits = (Option<f64>, usize, bool);

fn datagram_limits(max_age: Option<f64>, max_buffered: usize, drop_newest: bool) -> DatagramLimits {
    // An age beyond what the clock can tell is none
    let max_age = max_age.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    DatagramLimits { max_age, max_buffered, drop_newest }
}

/// Keying material that was asked for
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Exporting(ExportHandle);

#[pymethods]
impl Exporting {
    /// The bytes
    fn poll<'py>(&self, py: Python<'py>, token: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let material = self.0.poll(token).map_err(|error| errors::session(py, &error))?;
        Ok(material.map(|material| PyBytes::new(py, &material)))
    }
}

/// An established session. Dropping it closes it with `(0, "")`.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Session(SessionHandle);

#[pymethods]
impl Session {
    /// Open a stream that flows both ways
    fn open_bi(&self, py: Python<'_>, token: u64) -> PyResult<Option<(SendStream, RecvStream)>> {
        let halves = self.0.open_bi(token).map_err(|error| errors::session(py, &error))?;
        Ok(halves.map(|(send, recv)| (SendStream::new(send), RecvStream::new(recv))))
    }

    /// Open a stream that flows to the peer
    fn open_uni(&self, py: Python<'_>, token: u64) -> PyResult<Option<SendStream>> {
        let send = self.0.open_uni(token).map_err(|error| errors::session(py, &error))?;
        Ok(send.map(SendStream::new))
    }

    /// A stream of the peer that flows both ways
    fn accept_bi(&self, py: Python<'_>, token: u64) -> PyResult<Option<(SendStream, RecvStream)>> {
        let halves = self.0.accept_bi(token).map_err(|error| errors::session(py, &error))?;
        Ok(halves.map(|(send, recv)| (SendStream::new(send), RecvStream::new(recv))))
    }

    /// A stream of the peer that flows to us
    fn accept_uni(&self, py: Python<'_>, token: u64) -> PyResult<Option<RecvStream>> {
        let recv = self.0.accept_uni(token).map_err(|error| errors::session(py, &error))?;
        Ok(recv.map(RecvStream::new))
    }

    /// Queue it; False: the queue is above its high-water mark
    fn send_datagram(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<bool> {
        buffer::with_bytes(data, |payload| self.0.send_datagram(payload))?.map_err(|error| errors::datagram(py, &error))
    }

    /// True: the queue is below its high-water mark
    fn datagrams_sent(&self, py: Python<'_>, token: u64) -> PyResult<Option<bool>> {
        let sent = self.0.are_datagrams_sent(token).map_err(|error| errors::session(py, &error))?;
        Ok(sent.then_some(true))
    }

    /// The next datagram of the peer
    fn receive_datagram<'py>(&self, py: Python<'py>, token: u64) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let payload = self.0.receive_datagram(token).map_err(|error| errors::session(py, &error))?;
        Ok(payload.map(|payload| PyBytes::new(py, &payload)))
    }

    /// Ask the peer to end the session soon
    fn drain(&self) {
        self.0.drain();
    }

    /// We or the peer asked for the session's end
    #[getter]
    fn is_draining(&self) -> bool {
        self.0.is_draining()
    }

    /// True: the same, for those who wait for it
    fn draining(&self, py: Python<'_>, token: u64) -> PyResult<Option<bool>> {
        let draining = self.0.wait_draining(token).map_err(|error| errors::session(py, &error))?;
        Ok(draining.then_some(true))
    }

    /// What the queues of datagrams keep: on their way out, and in
    #[getter]
    fn datagram_limits(&self) -> (Limits, Limits) {
        let limits =
            |limits: DatagramLimits| (limits.max_age.map(|age| age.as_secs_f64()), limits.max_buffered, limits.drop_newest);
        let (outgoing, incoming) = self.0.datagram_limits();
        (limits(outgoing), limits(incoming))
    }

    /// Change what the queue on the way out keeps
    fn limit_outgoing(&self, max_age: Option<f64>, max_buffered: usize, drop_newest: bool) {
        self.0.limit_outgoing_datagrams(datagram_limits(max_age, max_buffered, drop_newest));
    }

    /// Change what the queue of those that came keeps
    fn limit_incoming(&self, max_age: Option<f64>, max_buffered: usize, drop_newest: bool) {
        self.0.limit_incoming_datagrams(datagram_limits(max_age, max_buffered, drop_newest));
    }

    /// Ask for bytes that only the two sides of the session can compute
    fn export_keying_material(&self, py: Python<'_>, label: &[u8], context: &[u8], length: usize) -> PyResult<Exporting> {
        let export = self.0.export_keying_material(label, context, length);
        export.map(Exporting).map_err(|error| errors::session(py, &error))
    }

    /// End the session
    fn close(&self, #[pyo3(from_py_with = integers::code)] code: u32, reason: &str) {
        self.0.close(code, reason);
    }

    /// True: the peer has closed the CONNECT stream, or was given up on
    fn gone(&self, token: u64) -> Option<bool> {
        self.0.is_gone(token).then_some(true)
    }

    /// What calls raise now
    #[getter]
    fn close_reason<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.end().map(|error| errors::as_object(py, errors::session(py, &error))).transpose()
    }

    /// The longest datagram that fits now
    #[getter]
    fn max_datagram_size(&self, py: Python<'_>) -> PyResult<usize> {
        self.0.refresh();
        self.0.max_datagram_size().map_err(|error| errors::datagram(py, &error))
    }

    /// The number of its connection
    #[getter]
    fn connection_id(&self) -> u64 {
        self.0.connection()
    }

    /// The peer's address
    #[getter]
    fn remote_address(&self) -> (String, u16) {
        options::pair(self.0.remote_address())
    }

    /// The smoothed round-trip time, in seconds
    #[getter]
    fn rtt(&self) -> f64 {
        self.0.refresh();
        self.0.rtt().as_secs_f64()
    }

    /// The figures of its connection, by name
    fn connection_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.refresh();
        stats::connection(py, &self.0.connection_stats())
    }

    /// The figures of its datagrams, by name
    fn datagram_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::datagrams(py, self.0.datagram_counts())
    }

    /// The version of WebTransport that both sides speak
    #[getter]
    fn dialect(&self) -> &'static str {
        self.0.dialect().name()
    }

    /// Client: the fields of the server's answer, and the application protocol that it picked
    #[getter]
    fn answer<'py>(&self, py: Python<'py>) -> (Vec<(&str, Bound<'py, PyBytes>)>, Option<&str>) {
        match self.0.response() {
            Some(response) => (http::pairs(py, &response.headers), response.subprotocol.as_deref()),
            None => (Vec::new(), None),
        }
    }
}
