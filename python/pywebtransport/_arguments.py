"""Arguments that are checked where they are given, and not where they would fail."""


def check_seconds(name: str, seconds: float) -> None:
    """Whether it is as many *seconds* as can pass, or for ever; ValueError, or TypeError for what is no number, if not."""
    try:
        fits = seconds >= 0  # which NaN is not
    except TypeError:
        raise TypeError(f"{name} must be a number of seconds: {seconds!r}") from None
    if not fits:
        raise ValueError(f"{name} must be a number of seconds from 0 on: {seconds!r}")


def check_callable(what: str, handler: object) -> None:
    """Whether *handler* can be called when it is wanted; TypeError now if not."""
    if not callable(handler):
        raise TypeError(f"{what} must be callable: {handler!r}")
