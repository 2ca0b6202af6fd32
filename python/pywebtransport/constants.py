"""Error codes, and the defaults of the configuration."""

from enum import IntEnum

__all__ = ["DEFAULT_PORT", "DEFAULT_USER_AGENT", "MIB", "ErrorCodes"]

MIB = 1024 * 1024
"""Bytes of a mebibyte."""

DEFAULT_PORT = 4433
"""The UDP port that a `ServerConfig` listens on unless it says another."""

DEFAULT_USER_AGENT = "pywebtransport"
"""The ``user-agent`` of requests unless a `ClientConfig` says another (RFC 9110 §10.1.5)."""


class ErrorCodes(IntEnum):
    """Codes with which connections, sessions and streams end.

    Those of the protocols (RFC 9114 §8.1, RFC 9204 §6, RFC 9297 §5.2 and WT) are for connections, and `pywebtransport` sends them
    itself where they are due. Sessions and streams end with codes of the application (WT §4.4 and §6), 32 bits unsigned: any numbers that
    both sides know, for which the ``APP_`` ones are a proposal.
    """

    # RFC 9297 §5.2
    H3_DATAGRAM_ERROR = 0x33
    # RFC 9114 §8.1
    H3_NO_ERROR = 0x100
    H3_GENERAL_PROTOCOL_ERROR = 0x101
    H3_INTERNAL_ERROR = 0x102
    H3_STREAM_CREATION_ERROR = 0x103
    H3_CLOSED_CRITICAL_STREAM = 0x104
    H3_FRAME_UNEXPECTED = 0x105
    H3_FRAME_ERROR = 0x106
    H3_EXCESSIVE_LOAD = 0x107
    H3_ID_ERROR = 0x108
    H3_SETTINGS_ERROR = 0x109
    H3_MISSING_SETTINGS = 0x10A
    H3_REQUEST_REJECTED = 0x10B
    H3_REQUEST_CANCELLED = 0x10C
    H3_REQUEST_INCOMPLETE = 0x10D
    H3_MESSAGE_ERROR = 0x10E
    H3_CONNECT_ERROR = 0x10F
    H3_VERSION_FALLBACK = 0x110
    # RFC 9204 §6
    QPACK_DECOMPRESSION_FAILED = 0x200
    QPACK_ENCODER_STREAM_ERROR = 0x201
    QPACK_DECODER_STREAM_ERROR = 0x202
    # draft-ietf-webtrans-http3-16
    WT_FLOW_CONTROL_ERROR = 0x045D4487
    WT_ALPN_ERROR = 0x0817B3DD
    WT_SESSION_GONE = 0x170D7B68
    WT_REQUIREMENTS_NOT_MET = 0x212C0D48
    WT_BUFFERED_STREAM_REJECTED = 0x3994BD84
    # applications
    APP_NO_ERROR = 0
    APP_GENERIC_ERROR = 0x1001
    APP_TIMEOUT = 0x1002
    APP_AUTHENTICATION_FAILED = 0x1003
    APP_PERMISSION_DENIED = 0x1004
    APP_RESOURCE_EXHAUSTED = 0x1005
    APP_INVALID_REQUEST = 0x1006
    APP_SERVICE_UNAVAILABLE = 0x1007
