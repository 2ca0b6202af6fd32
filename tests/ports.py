"""Ports for programs that are told where to listen."""

import random
import socket
from collections.abc import Iterator


def free_ports() -> Iterator[int]:
    """Ports that nobody has for UDP or TCP, nor will get by chance: systems hand out higher ones to who asks for any."""
    for port in random.sample(range(20_000, 30_000), 1000):
        if _is_free(port, socket.SOCK_DGRAM) and _is_free(port, socket.SOCK_STREAM):
            yield port


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
