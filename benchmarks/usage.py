"""What a process has used so far: processor, context switches, memory."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

Usage = dict[str, float]


def usage() -> Usage:
    """CPU in seconds, all threads; context switches; memory in bytes, now and at its peak since the last call.

    Only Linux tells what memory is now, and lets a process forget its peak; elsewhere the peak is that of its whole life.
    """
    spent = resource.getrusage(resource.RUSAGE_SELF)
    peak = spent.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    used: Usage = {"cpu": spent.ru_utime + spent.ru_stime, "switches": spent.ru_nvcsw + spent.ru_nivcsw, "peak": peak}
    with suppress(OSError):
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        used |= {"peak": int(status["VmHWM"].split()[0]) * 1024, "memory": int(status["VmRSS"].split()[0]) * 1024}
        Path("/proc/self/clear_refs").write_text("5")
    return used


def between(before: Usage, after: Usage) -> Usage:
    """What was used in between; of memory, where it ended, its peak, and how much it grew."""
    spent: Usage = {name: after[name] - before[name] for name in ("cpu", "switches")}
    spent["peak"] = after["peak"]
    if "memory" in after:
        spent |= {"memory": after["memory"], "grown": after["memory"] - before["memory"]}
    return spent
