"""The two halves of a stream."""

import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from . import _web_transport as _native
from ._arguments import check_order
from ._bridge import Bridge, Home, Turn, tokens
from .errors import StreamClosedLocally, StreamIncompleteReadError, StreamTooLongError, WebTransportError
from .stats import RecvStreamStats, SendStreamStats

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CLOSED = 1  # `wait_closed` waits under the second of a stream's tokens; transfers wait under the first
_MOST = sys.maxsize
_CHUNK = 512 << 10  # bytes; more than waits for a reader at most, so that iteration takes all that is there


class SendGroup:
    """Streams among which `SendStream.send_order` decides who goes first; groups of a session take turns.

    Made by `Session.create_send_group`. Source: W3C WebTransport, ``WebTransportSendGroup``.
    """

    __slots__ = ("number", "session")

    def __init__(self, session: _native.Session, number: int) -> None:
        self.session = session
        self.number = number

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.number}>"


def check_group(group: SendGroup | None, session: _native.Session) -> None:
    """Raise TypeError or ValueError unless streams of *session* may be in *group*."""
    if not isinstance(group, SendGroup | None):
        raise TypeError(f"send group must be a SendGroup or None: {group!r}")
    if group is not None and group.session is not session:
        raise ValueError("send group belongs to another session")


class SendStream(Turn):
    """The sending half of a stream: a clean ``async with`` exit finishes it (FIN), an error resets it.

    Any number of tasks may use it: writes are served in turn, a whole call each. An unfinished stream
    that is dropped is reset with code 0, since a truncated message must not look complete.
    """

    __slots__ = ("__weakref__", "_group", "_native", "_session", "_token")

    def __init__(self, native: _native.SendStream, session: _native.Session, home: Home) -> None:
        super().__init__(home)
        self._native = native
        self._session = session  # which would close if it were dropped
        self._token = tokens()
        self._group: SendGroup | None = None

    async def write(self, data: "Buffer") -> None:
        """Queue all of *data*, waiting while the peer's flow control holds it back.

        On return the bytes are in our send buffer, not yet at the peer. If cancelled, an unknown
        prefix of *data* stays queued: every byte of it arrives once and in order, and a later write
        goes on behind it. Source: WT §4.3; RFC 9000 §3.1.

        Args:
            data: Any contiguous buffer, in bytes; copied, so it may be reused.
        Raises:
            StreamClosedByPeer: The peer sent STOP_SENDING (``kind="stop"``).
            StreamClosedLocally: The stream was finished or reset.
            SessionError: The session is over; the class says why.
        """
        bridge = self._take_turn() or await self._await_turn()
        try:
            left = self._native.write(data, self._token)
            if left == 0:
                return
            with memoryview(data) as whole, whole.cast("B") as view:
                missing = len(view)
                while left != 0:
                    if left is None:
                        await bridge.woken(self._token)
                    else:
                        missing = left
                    left = self._native.write(view[-missing:], self._token)
        finally:
            self._give_turn()

    async def write_some(self, data: "Buffer") -> int:
        """Queue as much of *data* as there is room for, waiting only while there is none.

        Cancelled, it has queued nothing.

        Args:
            data: Any contiguous buffer, in bytes; copied, so it may be reused.
        Returns:
            How many bytes were queued: at least 1, unless *data* is empty.
        Raises:
            StreamClosedByPeer: The peer sent STOP_SENDING (``kind="stop"``).
            StreamClosedLocally: The stream was finished or reset.
            SessionError: The session is over; the class says why.
        """
        bridge = self._take_turn() or await self._await_turn()
        try:
            with memoryview(data) as view:
                while (left := self._native.write(view, self._token)) is None:
                    await bridge.woken(self._token)
                return view.nbytes - left
        finally:
            self._give_turn()

    async def finish(self) -> None:
        """Say that nothing follows (FIN), behind what was written; waits only for the writes of other tasks.

        After the peer's STOP_SENDING, or once the session is over, it succeeds: there is nobody left to tell.

        Raises:
            StreamClosedLocally: The stream was finished or reset already.
        """
        bridge = self._take_turn() or await self._await_turn()
        try:
            self._native.finish()
        finally:
            self._give_turn()
        bridge.flush()

    def reset(self, error_code: int = 0) -> None:
        """Abandon the stream (RESET_STREAM): what has not arrived may never do so, and pending calls raise.

        Allowed once, after `finish` too. Once the session is over it does nothing.

        Args:
            error_code: What to tell the peer, 32 bits unsigned, else OverflowError.
        Raises:
            StreamClosedLocally: The stream was reset already.
        """
        self._native.reset(error_code)

    async def wait_closed(self) -> int | None:
        """Wait until the peer has acknowledged all data and the FIN, or wants no more. Cancelling is harmless.

        Returns:
            The code of the peer's STOP_SENDING, None if that was not an application's; None once all is acknowledged.
        Raises:
            StreamClosedLocally: The stream was reset.
            SessionError: The session was over before; the class says why.
        """
        bridge = self._home.enter()
        while (closed := self._native.closed(self._token + _CLOSED)) is None:
            await bridge.woken(self._token + _CLOSED)
        return closed[0]

    @property
    def stream_id(self) -> int:
        """The stream's number on the wire (RFC 9000 §2.1)."""
        return self._native.stream_id

    def stats(self) -> SendStreamStats:
        """How far the bytes have come, now; also after the end. Source: W3C WebTransport, SendStream ``getStats``."""
        return SendStreamStats(*self._native.stats())

    @property
    def send_order(self) -> int:
        """What goes first: of the streams of one send group, the bytes of the one with the highest number, always.

        64 bits, signed, else OverflowError; 0 to begin with. Streams of equal order take turns, and so do the groups of a
        session, and the sessions of a connection. It holds for what is not yet on its way.
        Source: W3C WebTransport, ``sendOrder``; WT §3.4.
        """
        return self._native.send_order

    @send_order.setter
    def send_order(self, order: int) -> None:
        check_order("send_order", order, 64)
        self._native.set_send_order(self._group.number if self._group else 0, order)

    @property
    def send_group(self) -> "SendGroup | None":
        """The streams among which `send_order` decides; None: those of the session that were given no group.

        Set it to what the session's `create_send_group` made, else ValueError. Source: W3C WebTransport, ``sendGroup``.
        """
        return self._group

    @send_group.setter
    def send_group(self, group: "SendGroup | None") -> None:
        check_group(group, self._session)
        self._group = group
        self.send_order = self.send_order

    @property
    def priority(self) -> int:
        """The same as `send_order`, but for 32 bits: what is outside them raises OverflowError."""
        return self.send_order

    @priority.setter
    def priority(self, priority: int) -> None:
        check_order("priority", priority, 32)
        self.send_order = priority

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            if exc_type is None:
                await self.finish()
            else:
                self._native.reset(0)
        except StreamClosedLocally:  # finished or reset in the block
            pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream_id}>"


class RecvStream(Turn):
    """The receiving half of a stream: leaving ``async with`` before its end stops it (STOP_SENDING).

    Any number of tasks may use it: reads are served in turn, a whole call each. A cancelled read takes
    no byte. ``async for`` gives what is there, as soon as there is something, until the peer's FIN; it
    raises as `read` does. A stream that is dropped before its end is stopped with code 0.
    """

    __slots__ = ("__weakref__", "_buffer", "_ended", "_native", "_session", "_token")

    def __init__(self, native: _native.RecvStream, session: _native.Session, home: Home) -> None:
        super().__init__(home)
        self._native = native
        self._session = session  # which would close if it were dropped
        self._token = tokens()
        self._buffer = bytearray()  # what a read that came to nothing had read: it belongs to the next
        self._ended = False  # EOF was seen

    async def read(self, n: int = -1, *, limit: int | None = None) -> bytes:
        """Read up to *n* bytes, as soon as there are any; with *n* negative, all to the peer's FIN.

        Args:
            n: The most to return, in bytes.
            limit: The most to accept where *n* is negative, in bytes; by default there is none. A stream
                that is longer raises, and what was read of it stays there for later reads.
        Returns:
            1 to *n* bytes, as many as are there, or ``b""`` at the peer's FIN, again and again.
        Raises:
            ValueError: *limit* is negative.
            StreamTooLongError: The stream is longer than *limit*.
            StreamClosedByPeer: The peer reset the stream (``kind="reset"``); every read says so from then on.
            StreamClosedLocally: The stream was stopped.
            SessionError: The session is over; the class says why.
        """
        bridge = self._take_turn() or await self._await_turn()
        try:
            if n < 0:
                if limit is not None and not limit >= 0:
                    raise ValueError(f"limit must not be negative: {limit}")
                data = await self._gather(bridge, _MOST if limit is None else limit + 1)
                if limit is not None and len(data) > limit:
                    self._buffer[:0] = data
                    raise StreamTooLongError(limit)
                return data
            if n == 0 or self._buffer:
                head = self._unread(n)
                return head + (self._take(n - len(head)) or b"") if len(head) < n else head
            while (chunk := self._native.read(min(n, _MOST), self._token)) is None:
                await bridge.woken(self._token)
            if not chunk:
                self._ended = True
            return chunk
        finally:
            self._give_turn()

    async def readexactly(self, n: int) -> bytes:
        """Read *n* bytes, neither more nor fewer, waiting until they are there.

        Raises:
            ValueError: *n* is negative.
            StreamIncompleteReadError: The peer finished the stream before; ``partial`` has what there was.
            StreamClosedByPeer: The peer reset the stream (``kind="reset"``).
            StreamClosedLocally: The stream was stopped.
            SessionError: The session is over; the class says why.
        """
        if not n >= 0:  # NaN is neither
            raise ValueError(f"readexactly needs a size that is not negative: {n}")
        bridge = self._take_turn() or await self._await_turn()
        try:
            data = await self._gather(bridge, n)
        finally:
            self._give_turn()
        if len(data) < n:
            raise StreamIncompleteReadError(n, data)
        return data

    async def readinto(self, buffer: "Buffer") -> int:
        """Read as many bytes as are there, and fit, into the beginning of *buffer*, as soon as there are any.

        They are copied once, from the packet. Cancelled, it has taken no byte and written none.

        Args:
            buffer: Any writable contiguous buffer; while the call waits, a bytearray cannot change its size.
        Returns:
            How many bytes were read: at least 1, or 0 at the peer's FIN and where *buffer* has no room.
        Raises:
            TypeError: *buffer* cannot be written to.
            StreamClosedByPeer: The peer reset the stream (``kind="reset"``).
            StreamClosedLocally: The stream was stopped.
            SessionError: The session is over; the class says why.
        """
        with memoryview(buffer).cast("B") as view:
            if view.readonly:
                raise TypeError("readinto needs a writable buffer")
            bridge = self._take_turn() or await self._await_turn()
            try:
                head = self._unread(len(view))
                view[: len(head)] = head
                if len(head) == len(view):
                    return len(head)
                while (taken := self._native.readinto(view[len(head) :], self._token)) is None:
                    if head:
                        return len(head)
                    await bridge.woken(self._token)
                if taken == 0:
                    self._ended = True
                return len(head) + taken
            finally:
                self._give_turn()

    async def readuntil(self, separator: bytes = b"\n", *, limit: int = 65536) -> bytes:
        """Read up to the first *separator*, and return it too. If it comes to nothing, no byte is lost but at the FIN.

        Args:
            separator: At least one byte, else ValueError.
            limit: The most to return, in bytes, the separator included, not negative: what a peer who sends none can make us keep.
        Raises:
            StreamTooLongError: There is no separator within *limit*; all bytes stay there for later reads.
            StreamIncompleteReadError: The peer finished the stream before; ``partial`` has what there was, and
                ``expected`` is None.
            StreamClosedByPeer: The peer reset the stream (``kind="reset"``).
            StreamClosedLocally: The stream was stopped.
            SessionError: The session is over; the class says why.
        """
        if not limit >= 0:  # NaN would be none at all
            raise ValueError(f"limit must not be negative: {limit}")
        if not separator:
            raise ValueError("readuntil needs a separator of at least one byte")
        bridge = self._take_turn() or await self._await_turn()
        try:
            searched = 0  # before this no separator begins
            while (found := self._buffer.find(separator, searched)) < 0:
                searched = max(0, len(self._buffer) - len(separator) + 1)
                if len(self._buffer) > limit:
                    raise StreamTooLongError(limit)
                if (chunk := self._take(_CHUNK)) is None:
                    await bridge.woken(self._token)
                elif chunk:
                    self._buffer += chunk
                else:
                    raise StreamIncompleteReadError(None, self._unread(len(self._buffer)))
            if (end := found + len(separator)) > limit:
                raise StreamTooLongError(limit)
            return self._unread(end)
        finally:
            self._give_turn()

    async def readline(self, *, limit: int = 65536) -> bytes:
        """Read up to the next newline, and return it too; at the peer's FIN what is left, at last ``b""``.

        Args:
            limit: The most to return, in bytes.
        Raises:
            StreamTooLongError: The line is longer than *limit*; all of it stays there for later reads.
            StreamClosedByPeer: The peer reset the stream (``kind="reset"``).
            StreamClosedLocally: The stream was stopped.
            SessionError: The session is over; the class says why.
        """
        try:
            return await self.readuntil(b"\n", limit=limit)
        except StreamIncompleteReadError as error:
            return error.partial

    def stop(self, error_code: int = 0) -> None:
        """Want no more (STOP_SENDING): pending reads and all later ones raise StreamClosedLocally.

        Args:
            error_code: What to tell the peer, 32 bits unsigned, else OverflowError.
        Raises:
            StreamClosedLocally: The stream was stopped already.
        """
        self._native.stop(error_code)

    async def wait_closed(self) -> int | None:
        """Wait until the peer has ended the stream, whether or not anybody reads it. Cancelling is harmless.

        Returns:
            The code of the peer's RESET_STREAM, None if that was not an application's; None after the FIN.
        Raises:
            StreamClosedLocally: The stream was stopped.
            SessionError: The session was over before; the class says why.
        """
        bridge = self._home.enter()
        while (closed := self._native.closed(self._token + _CLOSED)) is None:
            await bridge.woken(self._token + _CLOSED)
        return closed[0]

    @property
    def stream_id(self) -> int:
        """The stream's number on the wire (RFC 9000 §2.1)."""
        return self._native.stream_id

    def stats(self) -> RecvStreamStats:
        """How many bytes came and were read, now; also after the end. Source: W3C WebTransport, ReceiveStream ``getStats``."""
        received, taken = self._native.stats()
        return RecvStreamStats(received, taken - len(self._buffer))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.read(_CHUNK):
            return chunk
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        if exc_type is not None or not self._ended:
            with suppress(WebTransportError):  # it is over already, one way or another
                self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.stream_id}>"

    def _take(self, n: int) -> bytes | None:
        chunk = self._native.read(min(n, _MOST), self._token)
        if chunk is not None and not chunk:
            self._ended = True
        return chunk

    def _unread(self, n: int) -> bytes:
        """Take up to *n* of the bytes that were kept."""
        if n and not self._buffer:
            return b""
        self._native.read(0, self._token)  # a stream that was reset or stopped gives not even these
        head = bytes(self._buffer[:n])
        del self._buffer[:n]
        return head

    async def _gather(self, bridge: Bridge, n: int) -> bytes:
        """Read *n* bytes, or fewer if the peer finishes before; if it comes to nothing, keep what was read."""
        chunks: list[bytes] = []
        missing = min(n, _MOST) - len(self._buffer)
        try:
            while missing > 0:
                chunk = self._native.read(missing, self._token)
                if chunk is None:
                    await bridge.woken(self._token)
                elif chunk:
                    chunks.append(chunk)
                    missing -= len(chunk)
                else:
                    self._ended = True
                    break
        except BaseException:
            self._buffer += b"".join(chunks)
            raise
        if self._buffer:
            chunks.insert(0, self._unread(n))
        return b"".join(chunks)
