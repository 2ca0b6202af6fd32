//! Arguments of endpoints, checked: whatever is wrong with one is a `ValueError` that names it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use webtransport_reactor::proto::{Config, CongestionControl, Field};

use crate::errors;

/// The shortest time-out that QUIC can tell the peer; a shorter one would mean none
const SHORTEST: Duration = Duration::from_millis(1);

/// The options that servers and clients share
pub(crate) fn config(
    congestion_control: &str,
    max_idle_timeout: Option<f64>,
    keep_alive_interval: Option<f64>,
) -> PyResult<Config> {
    let congestion_control = match congestion_control {
        "default" => CongestionControl::Default,
        "throughput" => CongestionControl::Throughput,
        "low_latency" => CongestionControl::LowLatency,
        other => return Err(PyValueError::new_err(format!("unknown congestion_control: {other:?}"))),
    };
    let config = Config {
        congestion_control,
        max_idle_timeout: seconds("max_idle_timeout", max_idle_timeout)?,
        keep_alive_interval: seconds("keep_alive_interval", keep_alive_interval)?,
        ..Config::default()
    };
    config.validate().map_err(errors::config)?;
    Ok(config)
}

/// A time-out; zero and `None` mean that there is none
fn seconds(name: &str, value: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(value) = value.filter(|&value| value != 0.0) else { return Ok(None) };
    match Duration::try_from_secs_f64(value) {
        Ok(duration) => Ok(Some(duration.max(SHORTEST))),
        Err(_) => Err(PyValueError::new_err(format!("{name} is not a usable number of seconds: {value:?}"))),
    }
}

/// An address in the form `ip:port`
pub(crate) fn bind(bind: &str) -> PyResult<SocketAddr> {
    bind.parse().map_err(|_| PyValueError::new_err(format!("bind is not ip:port: {bind:?}")))
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

/// Header fields as Python gives them: names in lower case, as HTTP/3 wants them
pub(crate) fn fields(headers: Vec<(String, Vec<u8>)>) -> Vec<Field> {
    headers.into_iter().map(|(name, value)| Field { name: name.to_ascii_lowercase(), value: Bytes::from(value) }).collect()
}
