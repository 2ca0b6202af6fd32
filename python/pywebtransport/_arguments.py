"""Arguments that are checked where they are given, and not where they would fail."""

from operator import index


def check_seconds(name: str, seconds: float) -> None:
    """Raise TypeError or ValueError, with the *name* in it, unless *seconds* is a number from 0 on; infinity is for ever."""
    try:
        fits = seconds >= 0  # which NaN is not
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds: {seconds!r}") from None
    if not fits:
        raise ValueError(f"{name} must be a number of seconds from 0 on: {seconds!r}")


def check_code(code: int) -> None:
    """Raise TypeError or OverflowError unless *code* can be an application's (WT §4.4)."""
    if not 0 <= index(code) < 1 << 32:
        raise OverflowError(f"code must be at least 0 and below 2**32: {code}")


def check_callable(what: str, handler: object) -> None:
    """Raise TypeError now unless *handler* can be called when it is wanted."""
    if not callable(handler):
        raise TypeError(f"{what} must be callable: {handler!r}")
