//! An endpoint: a server or a client.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use webtransport_reactor::EndpointHandle;
use webtransport_reactor::proto::tls::{ClientTls, ServerTls, Verification};

use crate::http::{HttpRequests, Target};
use crate::mailbox::Mailbox;
use crate::session::{Connecting, Request};
use crate::{errors, options, stats};

/// A socket, its reactor thread and all connections on it. Dropping it closes it with code 0.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Endpoint(EndpointHandle);

#[pymethods]
impl Endpoint {
    /// Bind and serve
    #[staticmethod]
    #[pyo3(signature = (*, certificate_chain, private_key, bind, **options))]
    fn server(
        certificate_chain: Vec<Vec<u8>>,
        private_key: &[u8],
        bind: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let config = options::config(options)?;
        let address = options::bind(bind)?;
        let tls = ServerTls::new(certificate_chain, private_key).map_err(errors::config)?;
        EndpointHandle::server(config, tls, address).map(Self).map_err(errors::start)
    }

    /// A client on a free port
    #[staticmethod]
    #[pyo3(signature = (*, server_certificate_hashes, no_cert_verification, **options))]
    fn client(
        server_certificate_hashes: Option<Vec<Vec<u8>>>,
        no_cert_verification: bool,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let config = options::config(options)?;
        let verification = match (server_certificate_hashes, no_cert_verification) {
            (Some(_), true) => {
                return Err(PyValueError::new_err("server_certificate_hashes and no_cert_verification exclude each other"));
            }
            (Some(hashes), false) => Verification::Pinned(hashes.into_iter().map(sha_256).collect::<PyResult<_>>()?),
            (None, true) => Verification::Dangerous,
            (None, false) => Verification::System,
        };
        let tls = ClientTls::new(verification).map_err(errors::config)?;
        EndpointHandle::client(config, tls).map(Self).map_err(errors::start)
    }

    /// Where tokens go from now on
    fn attach(&self, mailbox: &Mailbox) {
        self.0.attach(mailbox.0.clone());
    }

    /// The address of the socket
    #[getter]
    fn local_addr(&self) -> (String, u16) {
        options::pair(self.0.local_address())
    }

    /// `close` was called, or the reactor has died
    #[getter]
    fn closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Use this certificate for connections to come
    fn reload_certificates(&self, certificate_chain: Vec<Vec<u8>>, private_key: &[u8]) -> PyResult<()> {
        self.0.reload(ServerTls::new(certificate_chain, private_key).map_err(errors::config)?);
        Ok(())
    }

    /// The next request; None and `closed`: no more will come
    fn accept(&self, token: u64) -> Option<Request> {
        self.0.accept(token).map(Request)
    }

    /// Where plain requests come out
    fn http(&self) -> HttpRequests {
        HttpRequests(self.0.http())
    }

    /// Begin to connect to an IP literal and a port
    fn connect(&self, py: Python<'_>, remote: (String, u16), target: &Target) -> PyResult<Connecting> {
        let target = target.at(options::remote(remote)?);
        self.0.connect(target).map(Connecting).map_err(|error| errors::connect(py, &error))
    }

    /// Take no more sessions, and ask those that there are to end soon
    fn drain(&self) {
        self.0.drain();
    }

    /// True: the last session has gone after `drain`
    fn drained(&self, token: u64) -> Option<bool> {
        self.0.is_drained(token).then_some(true)
    }

    /// What it keeps now and has done so far, by name
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::endpoint(py, self.0.counts(), &self.0.totals())
    }

    /// Close every connection
    fn close(&self, code: u64, reason: &[u8]) -> PyResult<()> {
        if code > options::MAX_VARINT {
            return Err(PyValueError::new_err(format!("code {code} is not below 2**62")));
        }
        self.0.close(code, reason);
        Ok(())
    }

    /// True: every connection has ended, the socket is closed
    fn gone(&self, token: u64) -> Option<bool> {
        self.0.is_gone(token).then_some(true)
    }
}

fn sha_256(hash: Vec<u8>) -> PyResult<[u8; 32]> {
    hash.try_into()
        .map_err(|hash: Vec<u8>| PyValueError::new_err(format!("a certificate hash is 32 bytes long, this is {}", hash.len())))
}
