"""Arguments that are checked where they are given, and not where they would fail."""

from operator import index


def check_seconds(name: str, seconds: float) -> None:
    """Whether it is as many *seconds* as can pass, or for ever; ValueError, or TypeError for what is no number, if not."""
    try:
        fits = seconds >= 0  # which NaN is not
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds: {seconds!r}") from None
    if not fits:
        raise ValueError(f"{name} must be a number of seconds from 0 on: {seconds!r}")


def check_code(code: int) -> None:
    """Whether *code* is an application's; TypeError or OverflowError if not (WT §4.4)."""
    if not 0 <= index(code) < 1 << 32:
        raise OverflowError(f"code must be at least 0 and below 2**32: {code}")


def check_callable(what: str, handler: object) -> None:
    """Whether *handler* can be called when it is wanted; TypeError now if not."""
    if not callable(handler):
        raise TypeError(f"{what} must be callable: {handler!r}")
