"""The commands that pages show and that no page's test runs, because they install, build or go on for ever, are there to be called.

Those of `docs/guide/cli.md` are typed by `tests/tools/test_cli_guide.py`; the programs and commands of the other pages run in
`test_pages.py`.
"""

import asyncio
import importlib.util
import re
import shlex
import sys
import tomllib
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, items

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*/**/README.md"))]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[str]:
    """What a reader may type: lines of shell blocks, what stands after a ``$``, and in the text what is spelt as code."""
    lines = re.findall(r"(?<!`)`((?:make|pip|cargo|webtransport|python) [^`\n]+)`(?!`)", page.read_text(encoding="utf-8"))
    for item in items(page):
        if item.kind == "sh":
            lines += item.text.splitlines()
        elif item.kind == "console" and page.name != "cli.md":
            lines += re.findall(r"^\$ (.+)", item.text, re.MULTILINE)
    for line in lines:
        yield from line.partition(" #")[0].rstrip().split(" && ")


SHOWN = sorted({(str(page.relative_to(ROOT)), command) for page in PAGES for command in commands(page)})


@pytest.mark.parametrize(("page", "command"), SHOWN)
async def test_command(page: str, command: str) -> None:
    """Its files, targets, packages and options are there."""
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z]+=\S*", word)]
    match words:
        case ["make", *targets]:
            assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
            assert all(f"$({name})" in MAKEFILE for name in re.findall(r"\b([A-Z]+)=", command))
        case ["cargo", "test", "-p", crate, *rest]:
            home = ROOT / "crates" / crate.removeprefix("webtransport-")
            assert home.is_dir()
            assert all((home / "tests" / f"{test}.rs").exists() for test in re.findall(r"--test (\S+)", shlex.join(rest)))
        case ["pip", "install" | "uninstall", *packages]:
            assert all(is_known(package) for package in packages)
        case ["webtransport", *rest]:
            await takes(rest, "-m", "pywebtransport", *(rest[:1] if rest[0].islower() else []))
        case ["python" | ".venv/bin/python", "-m", "pytest", *paths]:
            assert all((ROOT / path).exists() for path in paths if "/" in path)
        case ["python" | ".venv/bin/python", "-m", module, *rest]:
            assert importlib.util.find_spec(module)
            await takes(rest, "-m", module)
        case ["python" | ".venv/bin/python", script, *rest] if "/" in script:
            assert (ROOT / script).exists()
            if any(word.startswith("-") for word in rest):
                await takes(rest, script)
        case ["docker", "compose", "up"]:
            assert (ROOT / "compose.yaml").exists()
        case ["python", _] | [".", ".venv/bin/activate"] | ["export", _] | ["docker", "run", *_]:
            pass  # a program of the page; and what no file of ours is needed for
        case _:
            raise AssertionError(f"{page} shows {command!r}: say here what must be there for it")


def is_known(package: str) -> bool:
    """Whether a package is one that we need, one of ours with an extra that it has, or one that ours replaces."""
    name, _, extra = package.rstrip("]").partition("[")
    needed = {re.split(r"[<>=\[]", each)[0] for group in PROJECT["dependency-groups"].values() for each in group if isinstance(each, str)}
    ours = name in (".", "path/to/webtransport-python") and (not extra or extra in PROJECT["project"]["optional-dependencies"])
    return ours or name in needed or name in ("web-transport", "pywebtransport")


async def takes(arguments: list[str], *program: str) -> None:
    """Whether a program's ``--help`` knows the options among *arguments*."""
    process = await asyncio.create_subprocess_exec(sys.executable, *program, "--help", cwd=ROOT, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
    text = (await process.communicate())[0].decode()
    assert process.returncode == 0, text
    assert not {word for word in arguments if word.startswith("-")} - set(re.findall(r"--?[\w-]+", text)), text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """What looks like the path of a file or directory here is one, and so is what a link leads to, which mkdocs sees within docs/ only."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:benchmarks|crates|docs|examples|fuzz|python|tests|tools)/[\w./-]*[\w/])`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
    linked = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [path for path in linked if not (page.parent / path).exists()] == []
