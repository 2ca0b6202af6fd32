//! Figures by name, as the classes of `web_transport.stats` take them.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyDict};
use webtransport_reactor::DatagramCounts;
use webtransport_reactor::proto::ConnectionStats;

pub(crate) fn connection<'py>(py: Python<'py>, stats: &ConnectionStats) -> PyResult<Bound<'py, PyDict>> {
    let counts = [
        ("bytes_sent", stats.payload_sent),
        // What QUIC took and has not sent yet would make it negative
        ("bytes_sent_overhead", stats.bytes_sent.saturating_sub(stats.payload_sent)),
        ("bytes_acknowledged", stats.bytes_acknowledged),
        ("bytes_lost", stats.bytes_lost),
        ("bytes_received", stats.bytes_received),
        ("packets_sent", stats.packets_sent),
        ("packets_lost", stats.packets_lost),
        ("packets_received", stats.packets_received),
        ("congestion_window", stats.congestion_window),
        ("mtu", stats.mtu.into()),
    ];
    let dict = counts.into_py_dict(py)?;
    dict.set_item("smoothed_rtt", stats.smoothed_rtt.as_secs_f64())?;
    dict.set_item("rtt_variation", stats.rtt_variation.map(|variation| variation.as_secs_f64()))?;
    dict.set_item("min_rtt", stats.min_rtt.as_secs_f64())?;
    dict.set_item("estimated_send_rate", stats.send_rate())?;
    dict.set_item("at_send_capacity", stats.at_send_capacity)?;
    dict.set_item("ecn", stats.ecn)?;
    Ok(dict)
}

pub(crate) fn datagrams<'py>(
    py: Python<'py>,
    (outgoing, incoming): (DatagramCounts, DatagramCounts),
) -> PyResult<Bound<'py, PyDict>> {
    let counts = [
        ("sent", outgoing.passed),
        ("dropped_outgoing", outgoing.dropped),
        ("expired_outgoing", outgoing.expired),
        ("received", incoming.passed),
        ("dropped_incoming", incoming.dropped),
        ("expired_incoming", incoming.expired),
    ];
    counts.into_py_dict(py)
}
