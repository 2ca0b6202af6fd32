"""Who may import whom: the walls of the Python packages, read from the source of every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "python"
OURS = ("web_transport", "pywebtransport")
MODULES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))

# Each row may import the rows above it, `errors` and the native module
TRANSPORT = [
    ("_arguments", "headers"),
    ("errors", "stats"),
    ("certs", "logs"),
    "_bridge",
    ("_race", "http", "streams", "datagrams"),
    "session",
    "_endpoint",
    ("client", "server"),
]
# Each row may import the rows above it, and the rest of the framework is at the level of the last but one
FRAMEWORK = [
    ("types", "constants", "exceptions", "utils", "_arguments"),
    ("events", "config", "diagnostics", "serializer", "_waiting"),
    ("_halves", "_incoming", "_options"),
    ("stream", "datagrams"),
    "session",
    ("connection", "messaging"),
    "manager",
    ("client", "server"),
    ("router", "middleware", "_dev"),
    ("app", "balancer", "cluster", "fleet", "pool", "reconnect"),
    "interop",
    ("cli", "__main__"),
]


def imports(path):
    """Every (module, name) that *path* imports, absolutely; the name is None for a plain ``import``."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def siblings(path, package):
    """The modules of *package* that *path* imports, by their short names."""
    for module, name in imports(path):
        if module == package and name is not None and ((ROOT / package / name).is_dir() or (ROOT / package / f"{name}.py").exists()):
            yield name
        elif module.startswith(f"{package}."):
            yield module.split(".")[1]


def level(rows, name):
    for index, row in enumerate(rows):
        if name in ((row,) if isinstance(row, str) else row):
            return index
    return None


def module_id(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_asyncio_is_known_to_the_bridge_only(path):
    """In the transport one file knows the event loop, so that another kind of loop has one place to go."""
    if path.parts[-2] == "web_transport" and path.stem != "_bridge":
        assert not {module for module, _ in imports(path) if module.split(".")[0] in ("asyncio", "uvloop")}


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[-2] == "web_transport"], ids=module_id)
def test_transport_imports_leftwards(path):
    """_bridge -> streams -> session -> client, server; the errors stand alone; nobody knows the framework."""
    assert not [module for module, _ in imports(path) if module.split(".")[0] == "pywebtransport"]
    used = {name for name in siblings(path, "web_transport") if name != "_web_transport"}
    if path.stem == "__init__":
        return
    mine = level(TRANSPORT, path.stem)
    assert mine is not None, "a new file: which row of TRANSPORT is it?"
    assert all(level(TRANSPORT, name) < mine for name in used), used


def test_errors_do_not_import_the_native_module():
    """The native module imports the errors, so they import nothing of ours but what a rejection carries."""
    assert set(siblings(ROOT / "web_transport" / "errors.py", "web_transport")) == {"headers"}
    assert not list(siblings(ROOT / "web_transport" / "headers.py", "web_transport"))


FRAMEWORK_MODULES = [path for path in MODULES if path.relative_to(ROOT).parts[0] == "pywebtransport"]


@pytest.mark.parametrize("path", FRAMEWORK_MODULES, ids=module_id)
def test_framework_uses_public_names_of_the_transport(path):
    """The framework is the transport's first customer: what it does, a user can do."""
    for module, name in imports(path):
        if module.split(".")[0] == "web_transport":
            assert not any(part.startswith("_") for part in module.split("."))
            assert name is None or not name.startswith("_")


@pytest.mark.parametrize("path", FRAMEWORK_MODULES, ids=module_id)
def test_framework_imports_leftwards(path):
    """types, constants, exceptions <- events, config <- stream <- session <- connection <- client, server <- app <- interop <- cli."""
    mine = level(FRAMEWORK, path.relative_to(ROOT).parts[1].removesuffix(".py"))
    for name in siblings(path, "pywebtransport"):
        if mine is not None and (theirs := level(FRAMEWORK, name)) is not None:
            assert theirs <= mine, name


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_no_type_checking_cycles(path):
    """An import for type checking only would hide a cycle: what is under TYPE_CHECKING is not ours."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for statement in ast.walk(ast.Module(node.body, [])):
                if isinstance(statement, ast.Import | ast.ImportFrom):
                    assert isinstance(statement, ast.ImportFrom)
                    assert statement.level == 0
                    assert (statement.module or "").split(".")[0] not in OURS
