"""Everything that the framework raises, and how an error of the transport becomes one of these.

::

    WebTransportError                       .message .error_code .details
    ├─ ClientError
    ├─ ServerError
    ├─ ConfigurationError                   .config_key .config_value   (also ValueError)
    ├─ CertificateError
    ├─ ConnectionError                      (also the builtin)
    │  └─ HandshakeError                    .status_code .headers .body (also ClientError)
    │     └─ AuthenticationError
    ├─ SessionError
    │  ├─ SessionClosedError                .source .reason
    │  └─ ProtocolError
    │     └─ FlowControlError
    ├─ StreamError
    ├─ DatagramError
    ├─ SerializationError
    └─ TimeoutError                         (also the builtin)

A handler that ends when its peer has gone catches ``(ConnectionError, SessionError)``. Every error can be pickled and copied, and the
transport's own error, if there is one, is the ``__cause__``.
"""

import builtins
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

import web_transport

__all__ = [
    "AuthenticationError",
    "CertificateError",
    "ClientError",
    "ConfigurationError",
    "ConnectionError",
    "DatagramError",
    "FlowControlError",
    "HandshakeError",
    "ProtocolError",
    "SerializationError",
    "ServerError",
    "SessionClosedError",
    "SessionError",
    "StreamError",
    "TimeoutError",
    "WebTransportError",
    "translated",
    "translating",
]

_PASSING = (408, 425, 429, 500, 502, 503, 504)  # statuses (RFC 9110 §15; RFC 6585 §4; RFC 8470 §5.2)


class WebTransportError(Exception):
    """The root of the tree: catch it to catch all that follows.

    Args:
        message: Who, what, which code.
        error_code: The code on the wire, or the application's; None if there is none.
        details: More about it, by name.
    """

    category: ClassVar[str] = "webtransport"
    """What kind of thing failed, in one word."""

    is_fatal: bool = False
    """Whether what raised it is of no more use."""

    is_retriable: bool = False
    """Whether the same call on a new connection may succeed."""

    def __init__(self, message: str = "", error_code: int | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = str(message)  # often it is an exception that was caught
        self.error_code = error_code
        self.details = dict(details or {})

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        code = "" if self.error_code is None else f", error_code={self.error_code:#x}"
        return f"{type(self).__name__}({self.message!r}{code})"

    def __reduce__(self) -> tuple[Any, ...]:  # OSError, which two of these are, would take the arguments for an errno
        return _restored, (type(self), self.__dict__)

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain values, for logs."""
        return {
            "type": type(self).__name__,
            "category": self.category,
            "message": self.message,
            "error_code": self.error_code,
            "details": self.details,
            "is_fatal": self.is_fatal,
            "is_retriable": self.is_retriable,
        }


class ClientError(WebTransportError):
    """A client could not do what was asked."""

    category = "client"


class ServerError(WebTransportError):
    """A server could not do what was asked."""

    category = "server"


class ConfigurationError(WebTransportError, ValueError):
    """The value of a field of a configuration is not one of those that the message says are allowed."""

    category = "configuration"
    is_fatal = True

    def __init__(self, message: str = "", config_key: str | None = None, config_value: object = None) -> None:
        super().__init__(message, details={"config_key": config_key, "config_value": config_value})

    @property
    def config_key(self) -> str | None:
        """The field."""
        key: str | None = self.details["config_key"]
        return key

    @property
    def config_value(self) -> Any:
        """What was to be its value."""
        return self.details["config_value"]


class CertificateError(WebTransportError):
    """A certificate could not be made."""

    category = "certificate"
    is_fatal = True


class ConnectionError(WebTransportError, builtins.ConnectionError):
    """A connection could not be made, or is lost; the text says why: DNS, TLS, silence, a code."""

    category = "connection"
    is_fatal = True
    is_retriable = True


class HandshakeError(ConnectionError, ClientError):
    """A server was asked for a session and refused, with an HTTP status that is not 2xx.

    It is retriable if the status is one that passes: 408, 425, 429, 500, 502, 503 and 504.
    """

    category = "handshake"

    def __init__(self, message: str = "", error_code: int | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, error_code, details)
        self.is_retriable = self.status_code in _PASSING

    @property
    def status_code(self) -> int | None:
        """The status of the answer."""
        return self.details.get("status_code")

    @property
    def headers(self) -> dict[str, str]:
        """The header fields of the answer, by their names in lower case."""
        headers: dict[str, str] = self.details.get("headers", {})
        return headers

    @property
    def body(self) -> bytes:
        """The beginning of what came with it."""
        body: bytes = self.details.get("body", b"")
        return body


class AuthenticationError(HandshakeError):
    """The status was 401, 403 or 407: the client may not have a session, or has to prove who it is."""

    category = "authentication"


class SessionError(WebTransportError):
    """A session could not do what was asked, or is over."""

    category = "session"
    is_fatal = True


class SessionClosedError(SessionError):
    """One side closed the session: ``error_code`` and `reason` are its words to the other's application."""

    @property
    def source(self) -> str:
        """Who closed it: "local" or "peer"."""
        source: str = self.details.get("source", "local")
        return source

    @property
    def reason(self) -> str:
        """Why, for people."""
        reason: str = self.details.get("reason", "")
        return reason


class ProtocolError(SessionError):
    """The peer broke the protocol, and the session or its connection was closed for it."""

    category = "protocol"


class FlowControlError(ProtocolError):
    """The peer sent more than it was permitted; for code that names it: the transport says `ProtocolError` of that, too."""

    category = "flow_control"


class StreamError(WebTransportError):
    """A stream could not do what was asked; the ``error_code`` is the peer's, if the peer ended the stream."""

    category = "stream"


class DatagramError(WebTransportError):
    """A datagram could not be sent."""

    category = "datagram"


class SerializationError(WebTransportError):
    """An object could not be made a message, or a message an object."""

    category = "serialization"


class TimeoutError(WebTransportError, builtins.TimeoutError):
    """Something took longer than the configuration or the caller allowed."""

    category = "timeout"
    is_retriable = True


def translated(error: web_transport.WebTransportError) -> WebTransportError:
    """What an error of the transport is here; the only place that knows.

    A session that ended by itself or by one of the applications is a `SessionError`; one that ended because its connection did, by
    silence too, is a `ConnectionError`.
    """
    message = str(error)
    match error:
        case web_transport.SessionRejected():
            kind = AuthenticationError if error.status_code in (401, 403, 407) else HandshakeError
            return kind(message, None, {"status_code": error.status_code, "headers": joined(error.headers), "body": error.body})
        case web_transport.ConnectError():
            return ConnectionError(message)
        case web_transport.SessionClosedByPeer(source="session"):
            return SessionClosedError(message, error.code, {"source": "peer", "reason": error.reason})
        case web_transport.SessionClosedByPeer():
            return ConnectionError(message, error.code, {"source": error.source, "reason": error.reason})
        case web_transport.SessionClosedLocally():
            return SessionClosedError(message, None, {"source": "local"})
        case web_transport.SessionTimeout():
            return ConnectionError(message, None, {"source": "timeout"})
        case web_transport.ProtocolError():
            return ProtocolError(message)
        case web_transport.SessionError():
            return SessionError(message)
        case web_transport.StreamClosedByPeer():
            return StreamError(message, error.code, {"kind": error.kind})
        case web_transport.StreamTooLongError():
            return StreamError(message, None, {"limit": error.limit})
        case web_transport.StreamIncompleteReadError():
            return StreamError(message, None, {"expected": error.expected, "partial": error.partial})
        case web_transport.StreamError():
            return StreamError(message)
        case web_transport.DatagramError():
            return DatagramError(message)
    return WebTransportError(message)


def joined(fields: web_transport.Headers) -> dict[str, str]:
    """Header fields by name; repeated ones become one (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for name, value in fields:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class _Translating:
    """``with translating:`` raises what the transport raises as one of these."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        if isinstance(exc, web_transport.WebTransportError):
            raise translated(exc) from exc


translating = _Translating()
"""``with translating:`` raises what the transport raises in it as one of these errors."""


def _restored(kind: type[WebTransportError], state: dict[str, Any]) -> WebTransportError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state.get("message", ""),)
    return error
