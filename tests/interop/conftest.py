"""The peers' virtual environments: one each, because one of them is imported as `web_transport` and another as `pywebtransport`."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = {
    "web_transport_quinn": "web-transport-quinn==0.1.0",
    "pywebtransport": "pywebtransport==0.21.1",
    "aioquic": "aioquic==1.7.2",
}


def interpreter() -> str | None:
    """The first Python that the peers install on: 3.13, then 3.12."""
    for version in ("3.13", "3.12"):
        found = [shutil.which(f"python{version}")]
        if shutil.which("pyenv"):
            prefix = subprocess.run(["pyenv", "prefix", version], check=False, capture_output=True, text=True)
            found.append(f"{prefix.stdout.strip()}/bin/python")
        for python in found:
            try:
                if python and subprocess.run([python, "-c", "import venv"], check=False, capture_output=True).returncode == 0:
                    return python
            except OSError:
                continue
    return None


@pytest.fixture(scope="session")
def peer_python() -> Callable[[str], Path]:
    """A peer's Python, by its name. The environment is made once: its stamp says what was installed."""

    def python_of(peer: str) -> Path:
        home, requirement = ROOT / ".venv-peers" / peer, REQUIREMENTS[peer]
        python, stamp = home / "bin" / "python", home / "installed.txt"
        if stamp.exists() and stamp.read_text() == requirement:
            return python
        base = interpreter()
        if base is None:
            pytest.skip(f"{peer} wants Python >= 3.12: neither python3.13 nor python3.12 was found")
        subprocess.run([base, "-m", "venv", "--clear", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement], check=True)
        stamp.write_text(requirement)
        return python

    return python_of
