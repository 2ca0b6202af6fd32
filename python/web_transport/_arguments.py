"""Arguments that are checked here, since the native side would take them, or see them too late."""

from math import inf
from operator import index


def check_code(code: int) -> None:
    """Raise ValueError unless CONNECTION_CLOSE can carry *code* (RFC 9000 §19.19)."""
    if not 0 <= index(code) < 1 << 62:
        raise ValueError(f"code must be at least 0 and below 2**62: {code}")


def check_seconds(name: str, seconds: float) -> None:
    """Raise TypeError or ValueError, with the *name* in it, unless *seconds* is a finite number from 0 on."""
    try:
        fits = 0 <= seconds < inf
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds: {seconds!r}") from None
    if not fits:
        raise ValueError(f"{name} must be a number of seconds from 0 on: {seconds!r}")


def check_body(body: bytes) -> None:
    """Raise TypeError unless *body* is bytes, for which text is often given."""
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"body must be bytes, not {type(body).__name__}")


def encoded_reason(reason: str) -> bytes:
    """UTF-8, with question marks for what has none."""
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str: {reason!r}")
    return reason.encode(errors="replace")


def check_order(name: str, order: int, bits: int) -> None:
    """Raise TypeError or OverflowError unless *order* is a signed int of so many *bits*."""
    if not -(1 << bits - 1) <= index(order) < 1 << bits - 1:
        raise OverflowError(f"{name} must be at least -2**{bits - 1} and below 2**{bits - 1}: {order}")
