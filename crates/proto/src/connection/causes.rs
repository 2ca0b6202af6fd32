//! The end of a connection in words: who did what, and with which code.

use quinn_proto::ConnectionError;
use rustls::AlertDescription;

use crate::code::H3Code;
use crate::error::{CloseSource, ConnectError, SessionError};

/// How far an attempt to connect has come
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Handshake,
    /// The server is to send SETTINGS
    Settings,
    /// The server is to answer the request
    Answer,
}

/// The end of a connection, told to a session that lived on it
pub(super) fn session_error(reason: &ConnectionError) -> SessionError {
    let peer = |by, code, reason: &[u8]| SessionError::Peer { by, code, reason: String::from_utf8_lossy(reason).into_owned() };
    match reason {
        ConnectionError::ApplicationClosed(close) => {
            peer(CloseSource::Application, Some(close.error_code.into_inner()), &close.reason)
        }
        ConnectionError::ConnectionClosed(close) => peer(CloseSource::Transport, Some(u64::from(close.error_code)), &close.reason),
        ConnectionError::Reset => peer(CloseSource::ConnectionReset, None, b""),
        ConnectionError::TimedOut => SessionError::TimedOut,
        ConnectionError::LocallyClosed => SessionError::Local,
        error => SessionError::Protocol(format!("peer broke QUIC: {error}")),
    }
}

/// The end of a connection, told to whoever waits for a session on it
pub(super) fn connect_error(reason: &ConnectionError, stage: Stage) -> ConnectError {
    let when = match stage {
        Stage::Handshake => "during the handshake",
        Stage::Settings => "before it sent SETTINGS",
        Stage::Answer => "before it answered the request",
    };
    ConnectError::Failed(match reason {
        ConnectionError::TimedOut if stage == Stage::Handshake => return ConnectError::TimedOut,
        ConnectionError::TimedOut => format!("timed out: server fell silent {when}"),
        ConnectionError::LocallyClosed => return ConnectError::Closed,
        ConnectionError::TransportError(error) => match alert(u64::from(error.code)) {
            // Its own words would be for developers
            Some(AlertDescription::NoApplicationProtocol) => "TLS handshake failed: server does not speak HTTP/3 (ALPN h3)".into(),
            Some(alert) => format!("TLS handshake failed: {}, {} sent", error.reason, named(alert)),
            None => format!("QUIC failed {when}: {error}"),
        },
        ConnectionError::ConnectionClosed(close) => match alert(u64::from(close.error_code)) {
            Some(alert) => match meaning(alert) {
                Some(meaning) => format!("server refused the TLS handshake: {meaning}, {}", named(alert)),
                None => format!("server refused the TLS handshake: {}", named(alert)),
            },
            None => format!("server closed the connection {when}: {close}"),
        },
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            format!("server closed the connection {when}: {} {reason:?}", H3Code::from(close.error_code.into_inner()))
        }
        ConnectionError::Reset => format!("server reset the connection {when}"),
        ConnectionError::VersionMismatch => "server does not speak QUIC version 1".into(),
        ConnectionError::CidsExhausted => "no connection id is left".into(),
    })
}

/// The TLS alert in a QUIC error code (RFC 9001 §4.8)
fn alert(code: u64) -> Option<AlertDescription> {
    u8::try_from(code.checked_sub(0x100)?).ok().map(AlertDescription::from)
}

fn named(alert: AlertDescription) -> String {
    format!("alert {alert:?} ({})", u8::from(alert))
}

/// What a server means by an alert (RFC 8446 §6.2)
fn meaning(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/3 (ALPN h3)",
        AlertDescription::CertificateRequired => "it wants a certificate of ours",
        AlertDescription::UnrecognisedName => "it has no certificate for this name",
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.3",
        AlertDescription::HandshakeFailure => "it has no cipher, curve or signature in common with us",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA => "it does not trust our certificate",
        _ => return None,
    })
}
