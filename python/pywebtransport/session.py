"""Sessions: streams and datagrams to a peer, until one side closes."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

import web_transport

from ._incoming import Incoming, unless_closed
from ._waiting import Bell, at_once, within
from .config import ClientConfig, ServerConfig
from .datagrams import WebTransportDatagrams
from .diagnostics import SessionDiagnostics
from .events import EventEmitter
from .exceptions import ConnectionError as FrameworkConnectionError
from .exceptions import ProtocolError, SessionClosedError, SessionError, WebTransportError, joined, translated, translating
from .stream import ENDS, Surroundings, WebTransportReceiveStream, WebTransportSendStream, WebTransportStream
from .types import Address, Buffer, ConnectionProtocol, EventType, Headers, SessionId, SessionState

__all__ = ["WebTransportSession"]

_Incoming: TypeAlias = WebTransportStream | WebTransportReceiveStream
_T = TypeVar("_T")
_S = TypeVar("_S", bound="_Incoming | WebTransportSendStream")


class WebTransportSession:
    """A session with a peer: leaving ``async with`` closes it, and waits until the peer knows.

    Clients get sessions from `WebTransportClient.connect`. A server's begins as a request, which `accept` or `reject` answers.
    A session that is dropped goes on: it ends when somebody closes it, its connection, or its client or server.
    """

    def __init__(
        self,
        asked: web_transport.Session | web_transport.SessionRequest,
        connection: ConnectionProtocol,
        config: ClientConfig | ServerConfig,
        *,
        wt_available_protocols: Sequence[str] = (),
        on_closed: "Callable[[WebTransportSession], None]" = lambda _: None,
    ) -> None:
        self._connection = connection
        self._config = config
        self._on_closed = on_closed
        self._session_id = str(uuid.uuid4())
        self._url = urlsplit(asked.url)
        self._headers = joined(asked.headers)
        self._offered = list(wt_available_protocols)
        self._events = EventEmitter(self._on_interest)
        self._around = Surroundings(self, self._report, config.read_timeout, config.write_timeout)
        # Most sessions wait: what those do not need is made when it is
        self._streams: WeakSet[_Incoming | WebTransportSendStream] | None = None
        self._incoming: Incoming[_Incoming] | None = None
        self._opened: dict[str, int] = {}  # how many streams of each kind
        self._tasks: list[asyncio.Task[None]] = []
        self._created_at = time.time()
        self._ready_at: float | None = None
        self._closed_at: float | None = None
        self._words: tuple[int | None, str | None] = (None, None)  # with which it was closed
        self._settled = Bell()  # rings when it is answered or closed
        self._request: web_transport.SessionRequest | None = None
        self._transport: web_transport.Session | None = None
        if isinstance(asked, web_transport.SessionRequest):
            self._request = asked
            self._remote_address = asked.remote_address
            self._offered = list(asked.subprotocols)
        else:
            self._establish(asked)

    # Answering

    async def accept(self, *, wt_protocol: str | None = None, headers: Headers | None = None) -> None:
        """Establish the session that a client asks for.

        Args:
            wt_protocol: One of `wt_available_protocols`, to be spoken from now on (WT §3.3).
            headers: Header fields of the answer.
        Raises:
            SessionError: It was answered already, or the client has gone.
            ValueError: The client did not offer *wt_protocol*, or a field cannot be sent.
        """
        with self._answering() as request:
            transport = await request.accept(subprotocol=wt_protocol, headers=headers or {})
        self._establish(transport)

    async def reject(self, status_code: int = 403, *, headers: Headers | None = None, body: bytes = b"") -> None:
        """Refuse the session that a client asks for.

        Args:
            status_code: An HTTP status from 300 on.
            headers: Header fields of the answer.
            body: What more there is to say; browsers do not show it.
        Raises:
            SessionError: It was answered already, or the client has gone.
            ValueError: *status_code* cannot reject, or a field cannot be sent.
        """
        with self._answering() as request:
            await request.reject(status_code, headers=headers or {}, body=body)
        self._finish(None, f"rejected with status {status_code}")

    # What it is

    @property
    def session_id(self) -> SessionId:
        """What tells the session from the others of this process; it is not on the wire."""
        return self._session_id

    @property
    def connection(self) -> ConnectionProtocol:
        """The connection that carries it."""
        return self._connection

    @property
    def events(self) -> EventEmitter:
        """The session's events. Without listeners they cost nothing.

        ``DATAGRAM_RECEIVED`` takes the datagrams away from `WebTransportDatagrams.receive`; the others only tell.
        """
        return self._events

    @property
    def url(self) -> str:
        """What the client connected to: ``https``, authority, path and query."""
        return self._url.geturl()

    @property
    def path(self) -> str:
        """The path of the URL, percent-encoded and without the query."""
        return self._url.path

    @property
    def query(self) -> str:
        """What follows the path and its question mark; "" if nothing does."""
        return self._url.query

    @property
    def headers(self) -> Headers:
        """The header fields of the request, by their names in lower case: a server has all that came, a client those that it gave."""
        return self._headers

    @property
    def remote_address(self) -> Address:
        """The peer's address and port; it changes when the peer moves."""
        return self._remote_address if self._transport is None else self._transport.remote_address

    @property
    def is_client(self) -> bool:
        """Whether this side asked for it."""
        return self._connection.is_client

    @property
    def wt_available_protocols(self) -> list[str]:
        """The application protocols that the client offers, the one it likes best first (WT §3.3)."""
        return self._offered

    @property
    def wt_protocol(self) -> str | None:
        """The one of them that the server picked, if it did."""
        return None if self._transport is None else self._transport.subprotocol

    @property
    def state(self) -> SessionState:
        """Where the session is in its life, now."""
        if self._closed_at is not None:
            return SessionState.CLOSED
        if self._transport is None:
            return SessionState.CONNECTING
        error = self._transport.close_reason
        if error is not None:
            return SessionState.CLOSING if isinstance(error, web_transport.SessionClosedLocally) else SessionState.CLOSED
        return SessionState.DRAINING if self._transport.draining else SessionState.CONNECTED

    @property
    def is_closed(self) -> bool:
        """Whether it is over: every call raises what ended it."""
        return self.state in (SessionState.CLOSING, SessionState.CLOSED)

    @property
    def close_code(self) -> int | None:
        """The code with which one side closed it; None as long as it is open, and if it ended without a code."""
        return self._end()[0]

    @property
    def close_reason(self) -> str | None:
        """The reason that came with the code, or what else ended it; None as long as it is open."""
        return self._end()[1]

    @property
    def close_error(self) -> WebTransportError | None:
        """What calls on it raise since it is over, which says who ended it, and how; None as long as it is open, and of a request."""
        return None if self._transport is None or self._transport.close_reason is None else translated(self._transport.close_reason)

    @property
    def fault(self) -> FrameworkConnectionError | ProtocolError | None:
        """What ended it, if nobody closed it: silence, a peer that forgot it, a fault of the protocol."""
        error = self.close_error
        if isinstance(error, ProtocolError):
            return error
        return error if isinstance(error, FrameworkConnectionError) and error.details.get("source") != "application" else None

    def diagnostics(self) -> SessionDiagnostics:
        """Figures of the session, now; also after its end."""
        active = [stream for stream in self._streams or () if not stream.is_closed]
        peers = [type(stream) for stream in active if stream.is_peer_initiated]
        opened = Counter(self._opened)
        stats = None if self._transport is None else self._transport.stats()
        datagrams = None if self._transport is None else self.datagrams
        return SessionDiagnostics(
            session_id=self.session_id,
            state=self.state,
            is_client=self.is_client,
            path=self.path,
            headers=self.headers,
            wt_available_protocols=self.wt_available_protocols,
            wt_protocol=self.wt_protocol,
            dialect=(self._transport or self._asked()).dialect,
            created_at=self._created_at,
            ready_at=self._ready_at,
            closed_at=self._closed_at,
            close_code=self.close_code,
            close_reason=self.close_reason,
            active_streams=len(active),
            datagrams_sent=stats.datagrams.sent if stats else 0,
            datagrams_received=stats.datagrams.received if stats else 0,
            datagram_bytes_sent=datagrams.bytes_sent if datagrams else 0,
            datagram_bytes_received=datagrams.bytes_received if datagrams else 0,
            datagrams_dropped_outgoing=datagrams.dropped_outgoing if datagrams else 0,
            datagrams_dropped_incoming=datagrams.dropped_incoming if datagrams else 0,
            local_streams_bidi_opened=opened["local_bidi"],
            local_streams_uni_opened=opened["local_uni"],
            peer_streams_bidi_opened=opened["peer_bidi"],
            peer_streams_bidi_closed=opened["peer_bidi"] - peers.count(WebTransportStream),
            peer_streams_uni_opened=opened["peer_uni"],
            peer_streams_uni_closed=opened["peer_uni"] - peers.count(WebTransportReceiveStream),
            rtt=stats.smoothed_rtt if stats else None,
            packets_sent=stats.packets_sent if stats else None,
            packets_lost=stats.packets_lost if stats else None,
        )

    # Streams

    async def create_bidirectional_stream(self) -> WebTransportStream:
        """Open a stream both ways, waiting only while the peer permits no more of them. Cancelling is harmless.

        Raises:
            SessionError: The session is over; the class says why.
            TimeoutError: The peer permitted none within `ClientConfig.stream_create_timeout`.
        """
        send, recv = await self._open(self._live().open_bi)
        return self._made(WebTransportStream(self._around, send, recv, is_peer_initiated=False), "local_bidi")

    async def create_unidirectional_stream(self) -> WebTransportSendStream:
        """Open a stream to the peer, waiting only while the peer permits no more of them. Cancelling is harmless.

        Raises:
            SessionError: The session is over; the class says why.
            TimeoutError: The peer permitted none within `ClientConfig.stream_create_timeout`.
        """
        send = await self._open(self._live().open_uni)
        stream = WebTransportSendStream(self._around, send)
        return self._made(stream, "local_uni")

    async def accept_bidirectional_stream(self) -> WebTransportStream:
        """Wait for the peer's next stream both ways. A cancelled call loses none.

        Raises:
            SessionError: The session is over; the class says why.
        """
        if self._incoming is not None and (taken := self._incoming.take(self._accept_bi)) is not None:
            return taken
        return await self._accept_bi()

    async def accept_unidirectional_stream(self) -> WebTransportReceiveStream:
        """Wait for the peer's next stream to this side. A cancelled call loses none.

        Raises:
            SessionError: The session is over; the class says why.
        """
        if self._incoming is not None and (taken := self._incoming.take(self._accept_uni)) is not None:
            return taken
        return await self._accept_uni()

    async def incoming_bidirectional_streams(self) -> AsyncIterator[WebTransportStream]:
        """The peer's streams both ways, one after the other, until somebody closes the session; what else ends it raises."""
        while (stream := await unless_closed(self.accept_bidirectional_stream)) is not None:
            yield stream

    async def incoming_unidirectional_streams(self) -> AsyncIterator[WebTransportReceiveStream]:
        """The peer's streams to this side, one after the other, until somebody closes the session; what else ends it raises."""
        while (stream := await unless_closed(self.accept_unidirectional_stream)) is not None:
            yield stream

    async def incoming_streams(self) -> AsyncIterator[_Incoming]:
        """The peer's streams of both kinds, one after the other, until somebody closes the session; what else ends it raises."""
        if self._incoming is None:
            self._incoming = Incoming[_Incoming](self._accept_uni, self._accept_bi)
        while (stream := await unless_closed(self._incoming.next)) is not None:
            yield stream

    # Datagrams

    @property
    def datagrams(self) -> WebTransportDatagrams:
        """What sends and receives datagrams.

        Raises:
            SessionError: The session is not accepted yet, or was rejected.
        """
        self._live()
        return self._datagrams

    async def send_datagram(self, data: Buffer) -> None:
        """The same as `WebTransportDatagrams.send`, and raises the same."""
        await self.datagrams.send(data)

    async def read_datagram(self) -> bytes:
        """The same as `WebTransportDatagrams.receive`, and raises the same."""
        return await self.datagrams.receive()

    # The end

    def drain(self) -> None:
        """Ask the peer to end the session soon; nothing else changes (WT §4.7)."""
        if self._transport is not None:
            self._transport.drain()

    async def close(self, error_code: int = 0, reason: str | None = None) -> None:
        """End the session, and wait until the peer knows, for `ClientConfig.close_timeout` at most; closing again does nothing.

        What was finished is delivered first; streams that were not finished are reset. A request that was not answered is rejected.

        Args:
            error_code: For the peer's application, 32 bits unsigned, else OverflowError.
            reason: For people; what exceeds 1024 bytes of UTF-8 is cut off.
        """
        if self._transport is None:
            if self._closed_at is None:
                with suppress(SessionError):  # the client has gone, which is as good
                    await self.reject()
            return
        if self._transport.close_reason is None:
            self._transport.close(error_code, reason or "")
            self._words = (error_code, reason or "")
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.close_timeout):
                await self._transport.wait_closed()
        self._finish(*self._end())

    async def wait_closed(self) -> None:
        """Wait until the session is over, whoever ended it; for a request, also until it is answered. It never raises."""
        while not self._is_settled:
            await self._settled.wait()
        if self._transport is not None:
            await self._transport.wait_closed()
            self._finish(*self._end())

    async def export_keying_material(self, label: str | bytes, context: Buffer = b"", length: int = 32) -> bytes:
        """Make bytes that both sides of this session can make, and nobody else: to bind keys or logins to it (WT §4.8).

        Args:
            label: What they are for, 1 to 255 bytes.
            context: What else they depend on, up to 255 bytes.
            length: How many bytes, 1 to 4096.
        Raises:
            ValueError: An argument is out of range.
            SessionError: The session is over; the class says why.
        """
        with translating:
            return await self._live().export_keying_material(label, context, length)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path} {self.state}>"

    @property
    def _is_settled(self) -> bool:
        return self._transport is not None or self._closed_at is not None

    def _asked(self) -> web_transport.SessionRequest:
        if self._request is None:
            raise SessionError("the session is this side's own: there is nothing to answer")
        return self._request

    @contextmanager
    def _answering(self) -> Iterator[web_transport.SessionRequest]:
        """What to answer; if that fails since its client has gone, the session is over."""
        try:
            with translating:
                yield self._asked()
        except SessionError:
            if self._request is not None and not self._is_settled:
                self._finish(None, "the client has gone")
            raise

    def _live(self) -> web_transport.Session:
        if self._transport is None:
            raise SessionError(f"the session is not accepted: {self._words[1] or 'it has not been answered'}")
        return self._transport

    def _establish(self, transport: web_transport.Session) -> None:
        self._transport = transport
        self._datagrams = WebTransportDatagrams(transport, self._events, self._session_id, read_timeout=self._config.read_timeout)
        self._ready_at = time.time()
        self._settled.ring()
        self._run(self.wait_closed())
        for event_type in (EventType.DATAGRAM_RECEIVED, EventType.SESSION_DRAINING):
            if self._events.listeners(event_type):
                self._on_interest(event_type, True)
        self._tell(EventType.SESSION_READY, {})

    def _end(self) -> tuple[int | None, str | None]:
        """The code and the reason of the end, if it has come."""
        error = None if self._transport is None else self._transport.close_reason
        match error:
            case None | web_transport.SessionClosedLocally():
                return self._words
            case web_transport.SessionClosedByPeer():
                return error.code, error.reason
        return None, str(error)

    def _finish(self, code: int | None, reason: str | None) -> None:
        """Tell the end, once."""
        if self._closed_at is not None:
            return
        self._closed_at = time.time()
        self._words = (code, reason)
        self._settled.ring()
        error = None if self._transport is None else self._transport.close_reason
        self._on_closed(self)
        self._tell(EventType.SESSION_CLOSED, {"close_code": code, "close_reason": reason})
        self._events.end(SessionClosedError(f"the session is over: {reason}", code) if error is None else translated(error))

    async def _open(self, opening: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        with translating:
            opened = at_once(opening())  # almost always: a time-out that is never needed would cost more than the stream
        if opened is not None:
            return opened[0]
        return await within(self._config.stream_create_timeout, "opening a stream", opening())

    async def _accept_bi(self) -> WebTransportStream:
        with translating:
            send, recv = await self._live().accept_bi()
        return self._made(WebTransportStream(self._around, send, recv, is_peer_initiated=True), "peer_bidi")

    async def _accept_uni(self) -> WebTransportReceiveStream:
        with translating:
            recv = await self._live().accept_uni()
        return self._made(WebTransportReceiveStream(self._around, recv), "peer_uni")

    def _made(self, stream: _S, kind: str) -> _S:
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)
        self._opened[kind] = self._opened.get(kind, 0) + 1
        if not self._events.is_heard:
            return stream
        if self._events.wants(EventType.STREAM_OPENED):
            opened = {"stream": stream, "stream_id": stream.stream_id, "direction": stream.direction}
            self._tell(EventType.STREAM_OPENED, {**opened, "is_peer_initiated": stream.is_peer_initiated})
        if any(self._events.wants(event_type) for event_type in ENDS):
            stream.watch()
        return stream

    def _on_interest(self, event_type: EventType | str, wanted: bool) -> None:
        if self._transport is None:  # once it is accepted we look again
            return
        if event_type == EventType.DATAGRAM_RECEIVED:
            self._datagrams.listen(wanted)
        elif event_type == EventType.SESSION_DRAINING and wanted:
            self._run(self._drained(self._transport))
        elif event_type in ENDS and wanted:
            for stream in list(self._streams or ()):
                stream.watch()

    async def _drained(self, transport: web_transport.Session) -> None:
        with suppress(web_transport.SessionError):
            await transport.draining
            self._tell(EventType.SESSION_DRAINING, {})

    def _report(self, event_type: EventType, data: dict[str, Any]) -> None:
        """An event of a stream."""
        if self._events.wants(event_type):
            self._events.emit_nowait(event_type, data=data, source=self._session_id)

    def _tell(self, event_type: EventType, data: dict[str, Any]) -> None:
        if self._events.wants(event_type):
            self._events.emit_nowait(event_type, data={"session_id": self._session_id, **data}, source=self._session_id)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work* in a task that ends with the session at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)
