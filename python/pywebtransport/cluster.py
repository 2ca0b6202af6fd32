"""Clusters: several servers in one event loop, which start and end together."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from .config import ServerConfig
from .exceptions import ServerError
from .server import WebTransportServer

__all__ = ["ServerCluster"]


class ServerCluster:
    """Several servers, as on several ports: ``async with`` starts them all, and leaving it closes them.

    Each server's sessions come from its own `WebTransportServer.incoming_connections`, or to whoever listens to its events.

    Args:
        configs: What the servers do, one each; more can be added later.
    """

    def __init__(self, configs: Iterable[ServerConfig] = ()) -> None:
        self._servers = [WebTransportServer(config) for config in configs]
        self._running = False
        self._stopped = asyncio.Event()

    @property
    def servers(self) -> list[WebTransportServer]:
        """All of them, in the order in which they were added."""
        return list(self._servers)

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._running

    async def start_all(self) -> None:
        """Listen with every server; if one cannot, those that do are closed again.

        Raises:
            ServerError: An address cannot be had, or the cluster was started before.
            ConfigurationError: A certificate or its key cannot be used.
        """
        if self._running or self._stopped.is_set():
            raise ServerError("the cluster was started before")
        self._running = True
        try:
            for server in self._servers:
                await server.listen()
        except BaseException:
            await self.stop_all()
            raise

    async def stop_all(self) -> None:
        """Close every server, all at once and each in its own ``close_timeout``; stopping again does nothing, and it never raises."""
        self._running = False
        self._stopped.set()
        await asyncio.gather(*(server.close() for server in self._servers))

    async def serve_forever(self) -> None:
        """Wait until the cluster is stopped; cancelled, it goes on serving.

        Raises:
            ServerError: It was not started.
        """
        if not self._running and not self._stopped.is_set():
            raise ServerError("the cluster was not started yet")
        await self._stopped.wait()

    async def add_server(self, config: ServerConfig) -> WebTransportServer:
        """Add a server, which listens at once if the cluster runs.

        Raises:
            ServerError: Its address cannot be had, or the cluster was stopped.
            ConfigurationError: Its certificate or its key cannot be used.
        """
        if self._stopped.is_set():
            raise ServerError("the cluster was stopped")
        server = WebTransportServer(config)
        if self._running:
            await server.listen()
        self._servers.append(server)
        return server

    async def remove_server(self, server: WebTransportServer) -> bool:
        """Close a server as `WebTransportServer.close` does, and forget it; False if it is none of these. It never raises."""
        if server not in self._servers:
            return False
        self._servers.remove(server)
        await server.close()
        return True

    async def get_cluster_stats(self) -> dict[str, Any]:
        """Figures of all servers together; of those that were removed nothing.

        That is how many ``servers`` there are and how many are ``serving``; ``connections`` and ``sessions`` that are open; and the sums
        of what each has counted since it began to listen: the fields of `ServerStats <pywebtransport.diagnostics.ServerStats>`.
        """
        stats = Counter[str](servers=len(self._servers), serving=0, connections=0, sessions=0)
        for server in self._servers:
            figures = server.diagnostics()
            counted = figures.stats.to_dict()
            del counted["start_time"]
            open_now = {"connections": len(server.connection_manager), "sessions": len(server.session_manager)}
            stats.update({"serving": int(figures.is_serving), **open_now, **counted})
        return dict(stats)

    async def __aenter__(self) -> Self:
        await self.start_all()
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        await self.stop_all()
