"""Run the transport's tests under every CPython from 3.11 on that is found: on PATH as ``python3.N``, or by pyenv.

usage: every_python.py WHEEL [PYTEST OPTION...]

The wheel, one for all of them, is installed in ``.venv-3.N`` as users would install it. The last line says what was found; the
exit status says whether any run failed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = [f"3.{minor}" for minor in range(11, 16)]


def find(version: str) -> str | None:
    """The path of CPython *version*; what is on PATH may be a shim that does not work, so it is asked."""
    candidates = [shutil.which(f"python{version}")]
    if shutil.which("pyenv"):
        prefix = subprocess.run(["pyenv", "prefix", version], check=False, capture_output=True, text=True)
        candidates.append(f"{prefix.stdout.strip()}/bin/python")
    question = "import ensurepip, platform; print(platform.python_implementation(), '.'.join(platform.python_version_tuple()[:2]))"
    for python in candidates:
        if python and Path(python).exists():
            answer = subprocess.run([python, "-c", question], check=False, capture_output=True, text=True)
            if answer.stdout.strip() == f"CPython {version}":
                return python
    return None


def install(python: str, version: str, wheel: str) -> str:
    """The Python of a virtual environment that holds *wheel* and what the tests need."""
    home = ROOT / f".venv-{version}"
    inside = f"{home}/bin/python"
    if not Path(inside).exists():
        subprocess.run([python, "-m", "venv", home], check=True)
    pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)  # the first that knows dependency groups
    subprocess.run([*pip, "--group", "test"], check=True, cwd=ROOT)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel], check=True)
    return inside


def main(wheel: str, *options: str) -> int:
    """Run the tests under each version, and return the exit status."""
    outcome = {}
    for version in VERSIONS:
        python = find(version)
        if python is None:
            outcome[version] = "not found"
            continue
        print(f"\nCPython {version}: {python}", flush=True)
        command = [install(python, version, wheel), "-m", "pytest", "tests/transport", *options]
        outcome[version] = "failed" if subprocess.run(command, check=False, cwd=ROOT).returncode else "passed"
    print("\n" + ", ".join(f"CPython {version}: {what}" for version, what in outcome.items()))
    return 1 if "failed" in outcome.values() else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
