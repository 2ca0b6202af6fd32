"""What `stats` methods return: figures of one moment, in bytes, seconds and bits per second.

A figure that QUIC does not tell is None. All of them stay available after the end of what they are about.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SendStreamStats:
    """How far the bytes of a sending half have come; without the stream's header (W3C ``WebTransportSendStreamStats``)."""

    bytes_written: int
    """Bytes that `write` has taken; of a cancelled one, the prefix that it queued."""

    bytes_sent: int
    """Bytes that QUIC has taken, to send them as soon as flow and congestion control permit."""

    bytes_acknowledged: int | None
    """Bytes that the peer is known to have: all once `SendStream.wait_closed` may return. None before that, since QUIC
    acknowledges packets and not streams."""


@dataclass(frozen=True, slots=True)
class RecvStreamStats:
    """How many bytes of a receiving half came and were read (W3C ``WebTransportReceiveStreamStats``)."""

    bytes_received: int
    """Bytes that came in order. Up to 256 KiB of them wait for a reader; the next are counted once he has made room."""

    bytes_read: int
    """Bytes that reads have returned."""
