"""aioquic (PyPI)."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.asyncio import connect as quic_connect
from aioquic.asyncio import serve as quic_serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.quic.configuration import QuicConfiguration

from benchmarks.adapters import h3_events
from benchmarks.library import Connect, Handler, Session

OVER = h3_events.OVER
WINDOWS = {"max_data": 16 << 20, "max_stream_data": 8 << 20}


class Connection(h3_events.Connection, QuicConnectionProtocol):
    h3_type = H3Connection

    def backlog(self, stream_id: int) -> int:
        stream = self._quic._streams.get(stream_id)
        return 0 if stream is None else stream.sender._buffer_stop - stream.sender._buffer_start

    def datagram_backlog(self) -> int:
        return len(self._quic._datagrams_pending)


def configuration(**options: object) -> QuicConfiguration:
    return QuicConfiguration(alpn_protocols=H3_ALPN, max_datagram_frame_size=65536, **WINDOWS, **options)


@asynccontextmanager
async def serve(certificate: Path, key: Path, handler: Handler) -> AsyncIterator[int]:
    class ServerConnection(Connection):
        pass

    ServerConnection.handler = staticmethod(handler)
    config = configuration(is_client=False)
    config.load_cert_chain(certificate, key)
    server = await quic_serve("127.0.0.1", 0, configuration=config, create_protocol=ServerConnection)
    yield server._transport.get_extra_info("sockname")[1]
    server.close()


@asynccontextmanager
async def client(port: int) -> AsyncIterator[Connect]:
    async def connect(path: str) -> Session:
        config = configuration(is_client=True, verify_mode=ssl.CERT_NONE)
        stack = AsyncExitStack()
        connection = await stack.enter_async_context(quic_connect("127.0.0.1", port, configuration=config, create_protocol=Connection))
        await connection.request(f"127.0.0.1:{port}", path)
        return h3_events.Adapted(connection, stack.aclose)

    yield connect
