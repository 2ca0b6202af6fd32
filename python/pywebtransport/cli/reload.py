"""Running a command anew whenever a source file changes."""

import signal
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["run_again"]

_INTERVAL = 0.3  # seconds between looks: less than it takes to turn to the terminal
_PATIENCE = 10.0  # seconds that the process before has to end


def run_again(root: Path = Path()) -> int:
    """Run this command line without ``--reload`` in a process of its own, and again after every change below *root*.

    One that ends by itself is started again after the next change: it may have been a mistake that is mended then.

    Returns:
        The exit status, when interrupted.
    """
    command = [sys.executable, "-m", "pywebtransport", *(argument for argument in sys.argv[1:] if argument != "--reload")]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seen = _sources(root)
    process = subprocess.Popen(command)
    try:
        while True:
            time.sleep(_INTERVAL)
            now = _sources(root)
            if now != seen:
                changed = sorted(str(path) for path, _ in now ^ seen)
                print(f"{changed[0]} has changed: starting anew", flush=True)
                seen = now
                _end(process)
                process = subprocess.Popen(command)
    except KeyboardInterrupt:
        return 0
    finally:
        _end(process)


def _sources(root: Path) -> set[tuple[Path, float]]:
    """The Python files, and when each was written; what is hidden or installed does not count."""
    sources = set()
    for path in root.rglob("*.py"):
        if not any(part.startswith(".") or part in ("site-packages", "node_modules") for part in path.parts):
            try:
                sources.add((path, path.stat().st_mtime))
            except OSError:  # it has gone
                continue
    return sources


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
