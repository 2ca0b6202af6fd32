"""Arguments that are checked here, since the native side would take them, or see them too late."""

from math import inf
from operator import index


def check_code(code: int) -> None:
    """Whether CONNECTION_CLOSE can carry *code* (RFC 9000 §19.19); ValueError if not."""
    if not 0 <= index(code) < 1 << 62:
        raise ValueError(f"code must be at least 0 and below 2**62: {code}")


def check_seconds(name: str, seconds: float) -> None:
    """Whether *seconds* can pass; ValueError, or TypeError for what is no number, that says by its *name* what is not."""
    try:
        fits = 0 <= seconds < inf
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds: {seconds!r}") from None
    if not fits:
        raise ValueError(f"{name} must be a number of seconds from 0 on: {seconds!r}")


def check_body(body: bytes) -> None:
    """Whether *body* is bytes, and not the text that is often given for them; TypeError if not."""
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body must be bytes, not {type(body).__name__}")


def encoded_reason(reason: str) -> bytes:
    """UTF-8, with question marks for what has none."""
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str: {reason!r}")
    return reason.encode(errors="replace")


def check_order(name: str, order: int, bits: int) -> None:
    """Whether *order* is an int of so many *bits*, signed; TypeError or OverflowError if not."""
    if not -(1 << bits - 1) <= index(order) < 1 << bits - 1:
        raise OverflowError(f"{name} must be at least -2**{bits - 1} and below 2**{bits - 1}: {order}")
