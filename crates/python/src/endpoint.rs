//! An endpoint: a server or a client.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use webtransport_reactor::EndpointHandle;
use webtransport_reactor::proto::tls::{ClientOptions, ClientTls, Identity, ServerOptions, ServerTls, Verification};

use crate::http::{HttpRequests, Target};
use crate::mailbox::Mailbox;
use crate::session::{Connecting, Request};
use crate::{errors, options, stats};

/// A socket, its reactor thread and all connections on it. Dropping it closes it with code 0.
#[pyclass(frozen, module = "web_transport._web_transport")]
pub(crate) struct Endpoint {
    handle: EndpointHandle,
    /// What a server asks of its clients, whatever certificate it has
    tls: ServerOptions,
}

#[pymethods]
impl Endpoint {
    /// Bind and serve
    #[staticmethod]
    #[pyo3(signature = (*, certificate_chain, private_key, client_ca_certificates, require_client_certificate, keylog, bind, **options))]
    fn server(
        certificate_chain: &Bound<'_, PyAny>,
        private_key: &[u8],
        client_ca_certificates: Option<&Bound<'_, PyAny>>,
        require_client_certificate: bool,
        keylog: Option<PathBuf>,
        bind: &str,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let config = options::config(options)?;
        let address = options::bind(bind)?;
        let key_log = options::key_log(keylog)?;
        let client_roots = options::some_blobs("client_ca_certificates", client_ca_certificates)?;
        let tls = ServerOptions { client_roots, require_client_certificate, key_log };
        let server = server_tls(certificate_chain, private_key, &tls)?;
        let handle = EndpointHandle::server(config, server, address).map_err(errors::start)?;
        Ok(Self { handle, tls })
    }

    /// A client on a free port
    #[staticmethod]
    #[pyo3(signature = (
        *, ca_certificates, server_certificate_hashes, pin_rules, no_cert_verification, certificate_chain, private_key, keylog, **options
    ))]
    #[allow(clippy::too_many_arguments)] // they are keyword arguments
    fn client(
        ca_certificates: Option<&Bound<'_, PyAny>>,
        server_certificate_hashes: Option<&Bound<'_, PyAny>>,
        pin_rules: Option<&str>,
        no_cert_verification: bool,
        certificate_chain: Option<&Bound<'_, PyAny>>,
        private_key: Option<&[u8]>,
        keylog: Option<PathBuf>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let config = options::config(options)?;
        let hashes = options::some_blobs("server_certificate_hashes", server_certificate_hashes)?;
        let hashes = hashes.map(|hashes| hashes.into_iter().map(sha_256).collect::<PyResult<Vec<_>>>()).transpose()?;
        let roots = options::some_blobs("ca_certificates", ca_certificates)?;
        let verification = match (roots, hashes, pin_rules, no_cert_verification) {
            (None, None, None, false) => Verification::System,
            (Some(roots), None, None, false) => Verification::Roots(roots),
            (None, Some(hashes), None, false) => Verification::Pinned(hashes),
            (None, Some(hashes), Some("w3c"), false) => Verification::PinnedW3c(hashes),
            (None, None, None, true) => Verification::Dangerous,
            (_, Some(_), Some(rules), _) if rules != "w3c" => {
                return Err(PyValueError::new_err(format!("pin_rules must be \"w3c\" or None: {rules:?}")));
            }
            (_, None, Some(_), _) => return Err(PyValueError::new_err("pin_rules needs server_certificate_hashes")),
            _ => {
                return Err(PyValueError::new_err(
                    "ca_certificates, server_certificate_hashes and no_cert_verification exclude each other",
                ));
            }
        };
        let identity = match (options::some_blobs("certificate_chain", certificate_chain)?, private_key) {
            (Some(chain), Some(key)) => Some(Identity::new(chain, key).map_err(errors::config)?),
            (None, None) => None,
            _ => return Err(PyValueError::new_err("certificate_chain and private_key need each other")),
        };
        let options = ClientOptions { identity, key_log: options::key_log(keylog)? };
        let tls = ClientTls::with_options(verification, &options).map_err(errors::config)?;
        let handle = EndpointHandle::client(config, tls).map_err(errors::start)?;
        Ok(Self { handle, tls: ServerOptions::default() })
    }

    /// Where tokens go from now on
    fn attach(&self, mailbox: &Mailbox) {
        self.handle.attach(mailbox.0.clone());
    }

    /// The address of the socket
    #[getter]
    fn local_addr(&self) -> (String, u16) {
        options::pair(self.handle.local_address())
    }

    /// `close` was called, or the reactor has died
    #[getter]
    fn closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Use this certificate for connections to come
    fn reload_certificates(&self, certificate_chain: &Bound<'_, PyAny>, private_key: &[u8]) -> PyResult<()> {
        self.handle.reload(server_tls(certificate_chain, private_key, &self.tls)?);
        Ok(())
    }

    /// The next request; None and `closed`: no more will come
    fn accept(&self, token: u64) -> Option<Request> {
        self.handle.accept(token).map(Request)
    }

    /// Where plain requests come out
    fn http(&self) -> HttpRequests {
        HttpRequests(self.handle.http())
    }

    /// Begin to connect to an IP literal and a port
    fn connect(&self, py: Python<'_>, remote: (String, u16), target: &Target) -> PyResult<Connecting> {
        let target = target.at(options::remote(remote)?);
        self.handle.connect(target).map(Connecting).map_err(|error| errors::connect(py, &error))
    }

    /// Take no more sessions, and ask those that there are to end soon
    fn drain(&self) {
        self.handle.drain();
    }

    /// True: the last session has gone after `drain`
    fn drained(&self, token: u64) -> Option<bool> {
        self.handle.is_drained(token).then_some(true)
    }

    /// What it keeps now and has done so far, by name
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        stats::endpoint(py, self.handle.counts(), &self.handle.totals())
    }

    /// Close every connection
    fn close(&self, code: u64, reason: &[u8]) -> PyResult<()> {
        if code > options::MAX_VARINT {
            return Err(PyValueError::new_err(format!("code {code} is not below 2**62")));
        }
        self.handle.close(code, reason);
        Ok(())
    }

    /// True: every connection has ended, the socket is closed
    fn gone(&self, token: u64) -> Option<bool> {
        self.handle.is_gone(token).then_some(true)
    }
}

fn server_tls(chain: &Bound<'_, PyAny>, key: &[u8], options: &ServerOptions) -> PyResult<ServerTls> {
    let chain = options::blobs("certificate_chain", chain)?;
    let identity = Identity::new(chain, key).map_err(errors::config)?;
    ServerTls::with_options(&identity, options).map_err(errors::config)
}

fn sha_256(hash: Vec<u8>) -> PyResult<[u8; 32]> {
    hash.try_into()
        .map_err(|hash: Vec<u8>| PyValueError::new_err(format!("a certificate hash is 32 bytes long, this is {}", hash.len())))
}
