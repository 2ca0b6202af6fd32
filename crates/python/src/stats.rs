//! Figures by name, as the classes of `web_transport.stats` take them.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyDict};
use webtransport_reactor::proto::{ConnectionStats, EndpointStats};
use webtransport_reactor::{Counts, DatagramCounts};

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
        ("datagram_frames_sent", stats.datagram_frames_sent),
        ("datagram_frames_received", stats.datagram_frames_received),
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

pub(crate) fn endpoint<'py>(py: Python<'py>, now: Counts, totals: &EndpointStats) -> PyResult<Bound<'py, PyDict>> {
    let dict =
        [("connections", now.connections), ("sessions", now.sessions), ("streams", now.streams), ("connecting", now.connecting)]
            .into_py_dict(py)?;
    for (name, total) in [
        ("connections_established", totals.connections_established),
        ("connections_refused", totals.connections_refused),
        ("handshakes_failed", totals.handshakes_failed),
        ("sessions_accepted", totals.sessions_accepted),
        ("sessions_rejected", totals.sessions_rejected),
        ("packets_sent", totals.packets_sent),
        ("bytes_sent", totals.bytes_sent),
        ("packets_received", totals.packets_received),
        ("bytes_received", totals.bytes_received),
    ] {
        dict.set_item(name, total)?;
    }
    Ok(dict)
}
