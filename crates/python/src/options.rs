//! Arguments of endpoints, checked: whatever is wrong with one is a `ValueError` that names it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};
use webtransport_reactor::proto::tls::KeyLog;
use webtransport_reactor::proto::{AllowedOrigins, Config, CongestionControl, Dialect, Qlog, Retry};
use webtransport_reactor::{KeyLogFile, QlogDir};

use crate::errors;

/// The most of anything that is counted: memory for more would be gone long before
const MANY: u64 = 1 << 24;

/// The largest number that QUIC can express (RFC 9000 §16)
pub(crate) const MAX_VARINT: u64 = (1 << 62) - 1;

/// The shortest time-out that QUIC can tell the peer; a shorter one would mean none
const SHORTEST: Duration = Duration::from_millis(1);

/// The options of an endpoint, by their names in Python, over the defaults
///
/// Whoever adds one adds a line here; which of them a server or a client has is for Python's signatures to say.
pub(crate) fn config(options: Option<&Bound<'_, PyDict>>) -> PyResult<Config> {
    let mut config = Config::default();
    for (name, value) in options.into_iter().flatten() {
        let name: &str = &name.extract::<String>()?;
        let value = &value;
        match name {
            "congestion_control" => {
                let choices = [
                    ("default", CongestionControl::Default),
                    ("throughput", CongestionControl::Throughput),
                    ("low_latency", CongestionControl::LowLatency),
                ];
                config.congestion_control = choice(name, value, &choices)?;
            }
            "retry" => {
                let choices = [("never", Retry::Never), ("load", Retry::Load), ("always", Retry::Always)];
                config.retry = choice(name, value, &choices)?;
            }
            "dialects" => {
                let words: Vec<Bound<'_, PyAny>> =
                    value.extract().map_err(|_| PyTypeError::new_err(format!("{name} must be a sequence of str: {value:?}")))?;
                let choices = Dialect::ALL.map(|dialect| (dialect.name(), dialect));
                config.dialects = words.iter().map(|word| choice(name, word, &choices)).collect::<PyResult<_>>()?;
            }
            "reset_key" => config.reset_key = reset_key(value)?,
            "qlog_dir" => config.qlog = qlog_dir(value)?,
            "max_idle_timeout" => config.max_idle_timeout = timeout(name, value)?,
            "keep_alive_interval" => config.keep_alive_interval = timeout(name, value)?,
            "request_timeout" => config.request_timeout = positive(name, value)?,
            "pending_timeout" => config.pending_timeout = positive(name, value)?,
            "allowed_origins" => {
                let origins = value.extract::<Option<Vec<String>>>();
                if let Some(origins) =
                    origins.map_err(|_| PyTypeError::new_err(format!("{name} must be a sequence of str: {value:?}")))?
                {
                    config.allowed_origins = AllowedOrigins::listed(origins).map_err(errors::config)?;
                }
            }
            "http_requests" => config.http_requests = value.extract()?,
            "max_connections" => config.max_connections = number(name, value, 1, MANY)?,
            "max_pending_handshakes" => config.max_pending_handshakes = number(name, value, 1, MANY)?,
            "max_sessions" => config.max_sessions = number(name, value, 1, MANY)?,
            "max_sessions_without_flow_control" => config.max_sessions_without_flow_control = number(name, value, 1, MANY)?,
            "max_streams" => config.max_concurrent_streams = number(name, value, 1, MANY)?,
            "max_pending_streams" => config.max_pending_streams = number(name, value, 0, MANY)?,
            "max_pending_datagrams" => config.max_pending_datagrams = number(name, value, 0, MANY)?,
            "stream_receive_window" => config.stream_receive_window = number(name, value, 1, MAX_VARINT)?,
            "session_receive_window" => config.session_receive_window = number(name, value, 1, u32::MAX.into())?,
            "receive_window" => config.receive_window = number(name, value, 1, MAX_VARINT)?,
            "send_window" => config.send_window = number(name, value, 1, MAX_VARINT)?,
            "max_header_bytes" => config.max_field_section_size = number(name, value, 1024, 1 << 24)?,
            _ => return Err(PyTypeError::new_err(format!("unknown option: {name}"))),
        }
    }
    config.validate().map_err(errors::config)?;
    Ok(config)
}

fn qlog_dir(value: &Bound<'_, PyAny>) -> PyResult<Option<Arc<dyn Qlog>>> {
    let Some(path) = value.extract::<Option<PathBuf>>()? else { return Ok(None) };
    Ok(Some(Arc::new(QlogDir::open(&path).map_err(|error| errors::file(&path, &error))?)))
}

/// Where TLS writes down its secrets
pub(crate) fn key_log(path: Option<PathBuf>) -> PyResult<Option<Arc<dyn KeyLog>>> {
    let Some(path) = path else { return Ok(None) };
    Ok(Some(Arc::new(KeyLogFile::open(&path).map_err(|error| errors::file(&path, &error))?)))
}

/// Certificates or hashes; an error shows no bytes, which are no help
pub(crate) fn blobs(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    let wrong = |what: String| PyTypeError::new_err(format!("{name} must be a list of bytes, not {what}"));
    if value.is_instance_of::<PyBytes>() {
        return Err(wrong("one of them by itself".into())); // a sequence, too, but of numbers
    }
    let kind = |value: &Bound<'_, PyAny>| value.get_type().name().map_or_else(|_| "something else".into(), |name| name.to_string());
    let items: Vec<Bound<'_, PyAny>> = value.extract().map_err(|_| wrong(kind(value)))?;
    let bytes = |item: &Bound<'_, PyAny>| match item.extract::<PyBackedBytes>() {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Err(wrong(format!("of {}", kind(item)))),
    };
    items.iter().map(bytes).collect()
}

/// The same, or none
pub(crate) fn some_blobs(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<Vec<u8>>>> {
    value.map(|value| blobs(name, value)).transpose()
}

/// A secret, or none; one that can be guessed would let anybody reset connections
fn reset_key(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    const SHORTEST: usize = 32;
    let key: Option<Vec<u8>> = value.extract().map_err(|_| PyTypeError::new_err("reset_key must be bytes or None"))?;
    match &key {
        Some(key) if key.len() < SHORTEST => {
            Err(PyValueError::new_err(format!("reset_key must be at least {SHORTEST} bytes long, this is {}", key.len())))
        }
        _ => Ok(key),
    }
}

/// One of a few words
fn choice<T: Copy>(name: &str, value: &Bound<'_, PyAny>, choices: &[(&str, T)]) -> PyResult<T> {
    let word: String = value.extract().map_err(|_| PyTypeError::new_err(format!("{name} must be a str: {value:?}")))?;
    match choices.iter().find(|(choice, _)| *choice == word) {
        Some(&(_, choice)) => Ok(choice),
        None => {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            Err(PyValueError::new_err(format!("{name} must be one of {}: {word:?}", words.join(", "))))
        }
    }
}

/// A whole number within bounds
fn number<T: TryFrom<u64>>(name: &str, value: &Bound<'_, PyAny>, min: u64, max: u64) -> PyResult<T> {
    let number = match value.extract::<u64>() {
        Ok(number) => Some(number).filter(|number| (min..=max).contains(number)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => None,
        Err(_) => return Err(PyTypeError::new_err(format!("{name} must be an int: {value:?}"))),
    };
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| PyValueError::new_err(format!("{name} must be between {min} and {max}: {value}")))
}

/// A time-out in seconds; zero and `None` mean that there is none
fn timeout(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Duration>> {
    let seconds: Option<f64> =
        value.extract().map_err(|_| PyTypeError::new_err(format!("{name} must be a number of seconds or None: {value:?}")))?;
    let Some(seconds) = seconds.filter(|&seconds| seconds != 0.0) else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => Ok(Some(duration.max(SHORTEST))),
        Err(_) => Err(PyValueError::new_err(format!("{name} is not a usable number of seconds: {seconds:?}"))),
    }
}

/// A time-out that there must be
fn positive(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    timeout(name, value)?.ok_or_else(|| PyValueError::new_err(format!("{name} must be more than 0 seconds")))
}

/// An address in the form `ip:port`
pub(crate) fn bind(bind: &str) -> PyResult<SocketAddr> {
    let wrong = || format!("bind must be an IP address and a port, as in \"127.0.0.1:4433\" or \"[::]:4433\": {bind:?}");
    bind.parse().map_err(|_| PyValueError::new_err(wrong()))
}

/// An IP literal and a port
pub(crate) fn remote((host, port): (String, u16)) -> PyResult<SocketAddr> {
    // A scope (fe80::1%2) makes it more than an IpAddr; the socket address knows how to parse it
    let literal = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    literal.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {host:?}")))
}

/// `(host, port)`, the way Python writes it
pub(crate) fn pair(address: SocketAddr) -> (String, u16) {
    let host = match (address, address.ip()) {
        (SocketAddr::V6(v6), IpAddr::V6(ip)) if v6.scope_id() != 0 => format!("{ip}%{}", v6.scope_id()),
        (_, ip) => ip.to_string(),
    };
    (host, address.port())
}
