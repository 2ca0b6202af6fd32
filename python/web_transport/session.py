"""An established session: its streams, its datagrams and its end."""

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

from . import _web_transport as _native
from ._arguments import check_order, encoded_reason
from ._bridge import OVER, Home, tokens
from .datagrams import Datagrams
from .errors import SessionError
from .headers import Headers
from .stats import DatagramStats, SessionStats
from .streams import RecvStream, SendGroup, SendStream, check_group

if TYPE_CHECKING:
    from typing_extensions import Buffer

_ACCEPT_BI, _ACCEPT_UNI, _DATAGRAM_RECEIVED, _DATAGRAMS_SENT, _GONE, _DRAINING = range(6)  # offsets to a session's tokens
_MAX_REASON = 1024  # bytes of UTF-8 (WT §6)

_Stream = TypeVar("_Stream")


class Exchange(NamedTuple):
    """The request that opened a session, and its answer."""

    url: str
    headers: Headers
    response_headers: Headers
    subprotocol: str | None


class Session:
    """A WebTransport session: leaving ``async with`` closes it with code 0 and waits for the peer's answer.

    Made by `Client.connect` and `SessionRequest.accept`. Any number of tasks may use it. Once it is over, every
    call raises `close_reason`: one and the same error for all. A session that is dropped, with all its streams, is closed
    with code 0.
    """

    def __init__(self, native: _native.Session, home: Home, exchange: Exchange) -> None:
        self._native = native
        self._home = home
        self._exchange = exchange
        self._token = tokens()
        self._datagrams: Datagrams | None = None  # made when somebody asks: most sessions wait
        self._bi_openers: list[int] = []  # tokens that no call uses now
        self._uni_openers: list[int] = []
        self._groups = 0  # so many were created; their numbers begin with 1

    async def open_bi(self, *, send_group: SendGroup | None = None, send_order: int = 0) -> tuple[SendStream, RecvStream]:
        """Open a bidirectional stream, waiting only while the peer permits no more of them.

        The peer hears of the stream at once, before anything is written to it. If cancelled, what it opened goes to the
        next call.
        Source: WT §4.3.

        Args:
            send_group: See `SendStream.send_group`.
            send_order: See `SendStream.send_order`.
        Raises:
            SessionError: The session is over; the class says why.
        """
        if send_group is not None or send_order:
            self._check_rank(send_group, send_order)
        send, recv = self._both(await self._open(self._native.open_bi, self._bi_openers))
        return _ranked(send, send_group, send_order), recv

    async def open_uni(self, *, send_group: SendGroup | None = None, send_order: int = 0) -> SendStream:
        """Open a unidirectional stream, waiting only while the peer permits no more of them.

        The peer hears of the stream at once, before anything is written to it. If cancelled, what it opened goes to the
        next call.
        Source: WT §4.2.

        Args:
            send_group: See `SendStream.send_group`.
            send_order: See `SendStream.send_order`.
        Raises:
            SessionError: The session is over; the class says why.
        """
        if send_group is not None or send_order:
            self._check_rank(send_group, send_order)
        send = await self._open(self._native.open_uni, self._uni_openers)
        return _ranked(SendStream(send, self._native, self._home), send_group, send_order)

    def create_send_group(self) -> SendGroup:
        """Make a group of streams that have a turn together, see `SendStream.send_group`."""
        self._groups += 1
        return SendGroup(self._native, self._groups)

    async def accept_bi(self) -> tuple[SendStream, RecvStream]:
        """Wait for the peer's next bidirectional stream. A cancelled accept loses none.

        Raises:
            SessionError: The session is over; the class says why.
        """
        bridge = self._home.enter()
        while (pair := self._native.accept_bi(self._token + _ACCEPT_BI)) is None:
            await bridge.woken(self._token + _ACCEPT_BI)
        return self._both(pair)

    async def accept_uni(self) -> RecvStream:
        """Wait for the peer's next unidirectional stream. A cancelled accept loses none.

        Raises:
            SessionError: The session is over; the class says why.
        """
        bridge = self._home.enter()
        while (recv := self._native.accept_uni(self._token + _ACCEPT_UNI)) is None:
            await bridge.woken(self._token + _ACCEPT_UNI)
        return RecvStream(recv, self._native, self._home)

    def send_datagram(self, data: "Buffer") -> Awaitable[None]:
        """Queue a datagram, now. It may get lost on its way, be overtaken or, if too many are queued, be dropped.

        What is returned may be ignored, or awaited so as not to queue faster than the network carries: it is done
        once the queue is below its high-water mark, 1 024 datagrams or 1 MiB unless `datagrams` says otherwise. At twice
        that the oldest is dropped. Cancelling the wait takes nothing back. Source: WT §4.5; RFC 9221.

        Args:
            data: Any contiguous buffer of at most `max_datagram_size` bytes; copied, so it may be reused.
        Raises:
            DatagramTooLargeError: *data* is longer than `max_datagram_size`.
            DatagramNotSupportedError: The peer takes no datagrams.
            SessionError: The session is over; the class says why.
        """
        return OVER if self._native.send_datagram(data) else _Sending(self)

    async def receive_datagram(self) -> bytes:
        """Wait for a datagram of the peer, which may be empty. A cancelled call loses none.

        As many as the queue holds wait for this call; past that, the oldest is dropped. `datagrams` says how many
        that are, and lets them be received in a loop.

        Raises:
            SessionError: The session is over; the class says why.
        """
        bridge = self._home.enter()
        while (data := self._native.receive_datagram(self._token + _DATAGRAM_RECEIVED)) is None:
            await bridge.woken(self._token + _DATAGRAM_RECEIVED)
        return data

    def drain(self) -> None:
        """Ask the peer to end the session soon; nothing else changes, and asking again does nothing.

        The session goes on, with streams old and new, until one side closes it. On a session that is over this does
        nothing. Source: WT §4.7.
        """
        self._native.drain()

    @property
    def draining(self) -> "Draining":
        """Whether the session should end soon, because the peer or this side asked for it: a condition, and awaitable.

        ``if session.draining`` tells; ``await session.draining`` waits, and raises what ended the session if that comes
        first. It comes of `drain` and `Server.drain`, on either side. Source: WT §4.7.
        """
        return Draining(self)

    @property
    def datagrams(self) -> Datagrams:
        """The queues of datagrams: iterate to receive, or set how many wait, for how long, and which go first."""
        if self._datagrams is None:
            self._datagrams = Datagrams(self._native, self._home, self._token + _DATAGRAM_RECEIVED)
        return self._datagrams

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the session. From now on every call raises SessionClosedLocally; closing again does nothing.

        The peer first gets what was finished, for up to 3 s, then *code* and *reason*; streams that were not
        finished are reset. Source: WT §6.

        Args:
            code: For the peer's application, 32 bits unsigned, else OverflowError.
            reason: For people; what exceeds 1024 bytes of UTF-8 is cut off, at a character.
        """
        self._native.close(code, encoded_reason(reason)[:_MAX_REASON].decode(errors="ignore"))

    async def export_keying_material(self, label: str | bytes, context: "Buffer" = b"", length: int = 32) -> bytes:
        """Derive bytes that both sides of this session can compute, and nobody else: to bind keys or logins of your own to it.

        Both sides get the same bytes for the same arguments, and other bytes for every other session, label or context. It asks
        nothing of the network, and waits only for the thread that the connection is in. Source: WT §4.8; RFC 5705.

        Args:
            label: What the bytes are for, 1 to 255 bytes; a str is encoded in UTF-8.
            context: More that both sides know, up to 255 bytes.
            length: How many bytes, 1 to 4096.
        Raises:
            ValueError: An argument is out of range.
            SessionError: The session is over; the class says why.
        """
        bridge = self._home.enter()
        label = label.encode() if isinstance(label, str) else bytes(memoryview(label))
        context = bytes(memoryview(context))
        for name, size, least, most in (("label", len(label), 1, 255), ("context", len(context), 0, 255), ("length", length, 1, 4096)):
            if not least <= size <= most:
                raise ValueError(f"{name} must be {least} to {most} bytes: {size}")
        exporting = self._native.export_keying_material(label, context, length)
        token = tokens()
        while (material := exporting.poll(token)) is None:
            await bridge.woken(token)
        return material

    async def wait_closed(self) -> None:
        """Wait until the session is over and the peer knows, or was given up on after 3 s. It never raises."""
        bridge = self._home.enter()
        while not self._native.gone(self._token + _GONE):
            await bridge.woken(self._token + _GONE)

    @property
    def close_reason(self) -> SessionError | None:
        """What every call raises now; None while the session is open."""
        return cast("SessionError | None", self._native.close_reason)

    @property
    def max_datagram_size(self) -> int:
        """The longest datagram that can be sent now, in bytes; it changes as the path does.

        Raises:
            DatagramNotSupportedError: The peer takes no datagrams.
            SessionError: The session is over; the class says why.
        """
        return self._native.max_datagram_size

    @property
    def remote_address(self) -> tuple[str, int]:
        """The peer's address and port; it changes when the peer moves."""
        return self._native.remote_address

    @property
    def connection_id(self) -> int:
        """A number that sessions have in common if they are on one connection of their endpoint."""
        return self._native.connection_id

    @property
    def rtt(self) -> float:
        """The current estimate of the round-trip time, in seconds (RFC 9002 §5)."""
        return self._native.rtt

    def stats(self) -> SessionStats:
        """Figures of the connection and of the session's datagrams, now; after the end the last. Source: W3C ``getStats``."""
        return SessionStats(datagrams=DatagramStats(**self._native.datagram_stats()), **self._native.connection_stats())

    @property
    def url(self) -> str:
        """What the client connected to: ``https``, authority without a default port, path and query."""
        return self._exchange.url

    @property
    def headers(self) -> Headers:
        """The request's header fields: for a server all that came, for a client those that it was given."""
        return self._exchange.headers

    @property
    def response_headers(self) -> Headers:
        """The answer's header fields: for a client all that came, for a server those that it was given."""
        return self._exchange.response_headers

    @property
    def subprotocol(self) -> str | None:
        """The application protocol that the server picked from the client's offer, if it did. Source: WT §3.3."""
        return self._exchange.subprotocol

    @property
    def dialect(self) -> str:
        """The version of WebTransport in use: "draft-02", "draft-07", "draft-14" or "draft-16"."""
        return self._native.dialect

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
        await self.wait_closed()

    def __repr__(self) -> str:
        state = "closed" if self.close_reason is not None else "draining" if self.draining else "open"
        return f"<{type(self).__name__} {self.url} {state}>"

    async def _open(self, call: Callable[[int], _Stream | None], idle: list[int]) -> _Stream:
        """What the native side opens, one stream for each token that asks: so every call has a token of its own.

        A token goes on to another call: that of a cancelled one to the next, for its stream is still to come.
        """
        bridge = self._home.enter()
        token = idle.pop() if idle else tokens()
        try:
            while (stream := call(token)) is None:
                await bridge.woken(token)
        except BaseException:
            idle.append(token)
            raise
        idle.insert(0, token)
        return stream

    def _check_rank(self, group: SendGroup | None, order: int) -> None:
        """Before a stream is opened: the peer would hear of one that nobody gets."""
        check_group(group, self._native)
        check_order("send_order", order, 64)

    def _both(self, pair: tuple[_native.SendStream, _native.RecvStream]) -> tuple[SendStream, RecvStream]:
        send, recv = pair
        return SendStream(send, self._native, self._home), RecvStream(recv, self._native, self._home)

    async def _drains(self) -> None:
        bridge = self._home.enter()
        while not self._native.draining(self._token + _DRAINING):
            await bridge.woken(self._token + _DRAINING)

    async def _datagrams_sent(self) -> None:
        bridge = self._home.enter()
        while not self._native.datagrams_sent(self._token + _DATAGRAMS_SENT):
            await bridge.woken(self._token + _DATAGRAMS_SENT)


class Draining:
    """Whether a session should end soon: true or false when asked, and true once awaited."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __bool__(self) -> bool:
        return self._session._native.is_draining

    def __await__(self) -> Generator[Any, None, None]:
        """Wait for it; SessionError if the session ends without having been asked to."""
        return self._session._drains().__await__()

    def __repr__(self) -> str:
        return f"<draining: {bool(self)}>"


def _ranked(send: SendStream, group: SendGroup | None, order: int) -> SendStream:
    if group is not None:
        send.send_group = group
    if order:
        send.send_order = order
    return send


class _Sending:
    """The wait for the datagram queue; not a coroutine, since those warn when they are not awaited."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session

    def __await__(self) -> Generator[Any, None, None]:
        return self._session._datagrams_sent().__await__()
