"""Everything that `web_transport` raises about the network.

::

    WebTransportError
    ├─ SessionError
    │  ├─ ConnectError
    │  │  └─ SessionRejected           .status_code .headers .body
    │  ├─ SessionClosed
    │  │  ├─ SessionClosedByPeer       .source .code .reason
    │  │  └─ SessionClosedLocally
    │  ├─ SessionTimeout
    │  └─ ProtocolError
    ├─ StreamError
    │  ├─ StreamClosed
    │  │  ├─ StreamClosedByPeer        .kind .code
    │  │  └─ StreamClosedLocally
    │  ├─ StreamTooLongError           .limit
    │  └─ StreamIncompleteReadError    .expected .partial
    └─ DatagramError
       ├─ DatagramTooLargeError
       └─ DatagramNotSupportedError    .reason

What an argument got wrong is a ``ValueError``, ``TypeError`` or ``OverflowError`` instead. Every class can be made without
arguments, pickled and copied. Source: WT §4.4 and §6 for what peers say; W3C WebTransport, ``WebTransportError``, for whose fault it is.
"""

from typing import ClassVar, Literal, TypeAlias

from .headers import Headers, HeadersLike

_SHOWN = 200  # bytes of a rejection's body in its text

CloseSource: TypeAlias = Literal["session", "application", "transport", "connection-reset"]


class WebTransportError(Exception):
    """The root of the tree: catch it to catch all that follows."""

    _default: ClassVar[str] = "WebTransport failed"  # the text of an exception that was made without one

    def __str__(self) -> str:
        return super().__str__() or self._default


class SessionError(WebTransportError):
    """A session could not be made, or is over."""

    _default = "session failed"


class ConnectError(SessionError):
    """An attempt to connect came to nothing; the text says why: DNS, TLS, time-out, refusal."""

    _default = "cannot connect"


class SessionRejected(ConnectError):
    """The server answered with *status_code*, an HTTP status that is not 2xx (WT §3.2).

    *headers* and *body* are those of its answer, the body's first 16 KiB. A redirect is told like this too, and never followed.
    """

    status_code: int = 0
    headers: Headers = Headers()
    body: bytes = b""

    def __init__(self, status_code: int = 0, headers: HeadersLike = (), body: bytes = b"") -> None:
        self.status_code, self.headers, self.body = status_code, Headers(headers), body
        super().__init__(status_code, self.headers, body)  # args rebuild the error, so it pickles

    def __str__(self) -> str:
        text = f"server rejected the session: status {self.status_code}"
        if self.body:
            text += f", body {self.body[:_SHOWN]!r}{'...' if len(self.body) > _SHOWN else ''}"
        return text


class SessionClosed(SessionError):
    """One side ended the session."""

    _default = "session closed"


class SessionClosedByPeer(SessionClosed):
    """The peer ended the session, in the words *code* and *reason*; *source* says by what means.

    ``"session"``: with a close capsule, or by ending the CONNECT stream, which means code 0 (WT §6);
    ``"application"``, ``"transport"``: with a CONNECTION_CLOSE of that kind (RFC 9000 §19.19);
    ``"connection-reset"``: with a stateless reset, which carries no code (RFC 9000 §10.3).
    """

    source: CloseSource = "session"
    code: int | None = None
    reason: str = ""

    def __init__(self, source: CloseSource = "session", code: int | None = None, reason: str = "") -> None:
        super().__init__(source, code, reason)
        self.source, self.code, self.reason = source, code, reason

    def __str__(self) -> str:
        return f"session closed by peer: {self.source}, code {self.code}, reason {self.reason!r}"


class SessionClosedLocally(SessionClosed):
    """This side ended the session, or closed its endpoint."""

    _default = "session closed locally"


class SessionTimeout(SessionError):
    """Nothing was heard from the peer for the idle time-out (RFC 9000 §10.1)."""

    _default = "session timed out: nothing heard from the peer for the idle time-out"


class ProtocolError(SessionError):
    """The peer broke the protocol, and the session or its connection was closed for it."""

    _default = "peer broke the protocol"


class StreamError(WebTransportError):
    """A stream could not do what was asked."""

    _default = "stream failed"


class StreamClosed(StreamError):
    """One side closed the stream, or its half of it."""

    _default = "stream closed"


class StreamClosedByPeer(StreamClosed):
    """The peer gave up its side: *kind* says how, *code* is its application's code or None (WT §4.4)."""

    kind: Literal["reset", "stop"] = "reset"
    code: int | None = None

    def __init__(self, kind: Literal["reset", "stop"] = "reset", code: int | None = None) -> None:
        super().__init__(kind, code)
        self.kind, self.code = kind, code

    def __str__(self) -> str:
        return f"peer closed the stream: {self.kind}, code {self.code}"


class StreamClosedLocally(StreamClosed):
    """This side has finished, reset or stopped the stream already."""

    _default = "stream closed locally"


class StreamTooLongError(StreamError):
    """The stream holds more than the *limit* of bytes that the caller was ready to read."""

    limit: int = 0

    def __init__(self, limit: int = 0) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"stream too long: the limit is {self.limit} bytes"


class StreamIncompleteReadError(StreamError):
    """The peer finished the stream after *partial*: before the *expected* number of bytes, or with None before a separator."""

    expected: int | None = 0
    partial: bytes = b""

    def __init__(self, expected: int | None = 0, partial: bytes = b"") -> None:
        super().__init__(expected, partial)
        self.expected, self.partial = expected, partial

    def __str__(self) -> str:
        if self.expected is None:
            return f"peer finished the stream early: {len(self.partial)} bytes and no separator"
        return f"peer finished the stream early: {len(self.partial)} bytes of {self.expected} expected"


class DatagramError(WebTransportError):
    """A datagram could not be sent."""

    _default = "datagram failed"


class DatagramTooLargeError(DatagramError):
    """The datagram is longer than `Session.max_datagram_size`."""

    _default = "datagram too large"


class DatagramNotSupportedError(DatagramError):
    """No datagrams on this session; *reason* says which side takes none."""

    reason: Literal["unsupported_by_peer", "disabled_locally"] = "unsupported_by_peer"

    def __init__(self, reason: Literal["unsupported_by_peer", "disabled_locally"] = "unsupported_by_peer") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"datagrams are not supported: {self.reason}"
