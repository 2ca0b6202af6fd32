"""The log of the native core, for those who look for a fault."""

import os

from . import _web_transport as _native

_VARIABLE = "WEBTRANSPORT_LOG"


def init_tracing(directives: str | None = None) -> bool:
    """Write the log of the core and of QUIC to standard error, for the rest of the process; unless called there is none.

    It is written by the thread that serves the network, which a terminal that is slow to read holds up.

    Args:
        directives: What to write: a level ("error", "warn", "info", "debug", "trace"), or levels by module with commas between
            them, as in "warn,webtransport_proto=debug,quinn_proto=trace". None takes them from the environment's
            WEBTRANSPORT_LOG, or else "info".
    Returns:
        Whether that is new: False, and nothing changes, if it was called before.
    Raises:
        ValueError: *directives* are something else.
    """
    return _native.init_tracing(os.environ.get(_VARIABLE, "info") if directives is None else directives)
