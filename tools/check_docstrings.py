"""Looks whether every public name has a docstring that says what its users must know; `make check` runs it.

Public is what ``__all__`` of `web_transport` and of the modules of `pywebtransport` names, and what these classes have that does not begin
with an underscore. Each needs:

- a docstring, which constants and aliases have behind them; the fields of dataclasses and enumerations may instead be told in that of
  their class;
- **units**: where a number that is measured in something comes in or out, the docstring, or that of its class or module, names its unit;
- **errors**: what a function raises itself, its docstring names, and one that waits for the network says what that may raise;
- **source**: a class of the transport says which section of which document it implements, in its docstring or in those of its members;
  one of the framework that stands right on the transport says so too, or which class of `web_transport` does the work. What is above,
  as routes, pools and serializers, has no source but itself.
"""

import ast
import dataclasses
import enum
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pywebtransport
import web_transport

MEASURED = re.compile(r"(?:^|_)(timeout|interval|delay|ttl|age|seconds|validity|rtt|size|bytes|length|limit|window)(?:$|_)")
UNIT = re.compile(r"\b(seconds?|s|ms|bytes?|bits?|MiB|KiB|datagrams?|characters|days|numbers?|how many)\b", re.IGNORECASE)
SOURCE = re.compile(r"\b(WT §|RFC \d|W3C|draft-|NSS|Source:)")
CARRIED_OUT = re.compile(r"`web_transport\.\w+`")
ON_THE_TRANSPORT = {
    f"pywebtransport.{name}" for name in ("client", "config", "connection", "constants", "datagrams", "server", "session", "stream")
}
ERRORS = re.compile(r"\b(\w+(?:Error|Rejected|Closed\w*|Timeout)|raises?|raised)\b|\bsucceeds\b|\balways\b")


class Public(NamedTuple):
    """A public name."""

    path: str
    thing: Any
    context: str
    """The docstrings of the class and of the module that it is in."""


def public() -> Iterator[Public]:
    """Every public name of both packages."""
    for module in modules():
        names = getattr(module, "__all__", ())
        for name in names:
            thing = getattr(module, name)
            if isinstance(thing, type | FunctionType):
                home = sys.modules[thing.__module__]
                path = f"{module.__name__}.{name}"
                yield Public(path, thing, home.__doc__ or "")
                if isinstance(thing, type):
                    yield from members(path, thing, f"{thing.__doc__ or ''}\n{home.__doc__ or ''}")


def modules() -> Iterator[ModuleType]:
    """Where public names are."""
    yield web_transport
    for info in pkgutil.iter_modules(pywebtransport.__path__):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"pywebtransport.{info.name}")


def members(path: str, owner: type, context: str) -> Iterator[Public]:
    """What a class has and got from classes of ours."""
    for kind in owner.__mro__:
        if kind.__module__.partition(".")[0] in ("web_transport", "pywebtransport"):
            for name, member in vars(kind).items():
                if not name.startswith("_") and isinstance(member, FunctionType | property | classmethod | staticmethod):
                    yield Public(f"{path}.{name}", member, context)


def function_of(thing: Any) -> FunctionType | None:
    """What runs when a name is used."""
    thing = getattr(thing, "fget", None) or getattr(thing, "__func__", thing)
    return thing if isinstance(thing, FunctionType) else None


def complaints(name: Public) -> Iterator[str]:
    """What a docstring lacks."""
    doc = inspect.getdoc(name.thing) or ""
    if not doc or (isinstance(name.thing, type) and name.thing.__doc__ is None):
        yield "no docstring"
        return
    function = function_of(name.thing)
    if function is not None:
        yield from unit_complaints(function, doc, name.context)
        yield from error_complaints(function, doc)
    elif isinstance(name.thing, type):
        yield from class_complaints(name.thing, doc, name.context)


def unit_complaints(function: FunctionType, doc: str, context: str) -> Iterator[str]:
    """Numbers that are measured in something."""
    for parameter in inspect.signature(function).parameters.values():
        if is_number(parameter.annotation) and MEASURED.search(parameter.name) and not UNIT.search(doc + context):
            yield f"no unit of {parameter.name}"
    if is_number(inspect.signature(function).return_annotation) and MEASURED.search(function.__name__) and not UNIT.search(doc + context):
        yield "no unit"


def is_number(annotation: Any) -> bool:
    """Whether a type is that of a number, or of none."""
    return annotation in (int, float, int | None, float | None)


def error_complaints(function: FunctionType, doc: str) -> Iterator[str]:
    """What is raised in the body, and whether what the network may do is told."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in own_nodes(tree.body[0]):
        if isinstance(node, ast.Raise) and node.exc is not None:
            called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            raised = called.id.removeprefix("Framework").removeprefix("Event") if isinstance(called, ast.Name) else ""
            if raised[:1].isupper() and raised.endswith(("Error", "Rejected", "Timeout")) and not mentions(doc, raised):
                yield f"raises {raised}, and does not say so"
    if inspect.iscoroutinefunction(function) and waits(tree) and not ERRORS.search(doc):
        yield "waits, and does not say what that may raise"


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What a function does itself, without what functions in it do."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from own_nodes(node)


def mentions(doc: str, error: str) -> bool:
    """Whether a docstring names an error, or one that it is a kind of."""
    kinds = [vars(package).get(error) for package in (web_transport, pywebtransport)]
    names = {error, *(kind.__name__ for each in kinds if each for kind in each.__mro__)} - {"Exception", "BaseException", "object"}
    return any(re.search(rf"\b{name}\b", doc) for name in names)


def waits(tree: ast.AST) -> bool:
    """Whether a coroutine function awaits anything."""
    return any(isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) for node in ast.walk(tree))


def class_complaints(kind: type, doc: str, context: str) -> Iterator[str]:
    """The source of a class, and the fields of one that only has fields."""
    everything = doc + context + "".join(inspect.getdoc(member) or "" for member in vars(kind).values() if function_of(member))
    everything += source_docs(kind)
    if kind.__module__.startswith("web_transport") and not SOURCE.search(everything):
        yield "no source"
    if kind.__module__ in ON_THE_TRANSPORT and not (SOURCE.search(everything) or CARRIED_OUT.search(everything)):
        yield "no source, and no class of the transport that does the work"
    if issubclass(kind, enum.Enum):
        return
    if dataclasses.is_dataclass(kind):
        told = attribute_docs(kind)
        for field in dataclasses.fields(kind):
            if not field.name.startswith("_") and field.name not in told and field.name not in doc:
                yield f"{field.name}: no docstring"


def source_docs(kind: type) -> str:
    """The docstrings of the fields of a class and of those that it comes from."""
    return "\n".join(attribute_docs(kind).values())


def attribute_docs(kind: type) -> dict[str, str]:
    """The strings behind the fields of a class, and of those that it comes from."""
    docs: dict[str, str] = {}
    for each in kind.__mro__:
        if each.__module__.partition(".")[0] in ("web_transport", "pywebtransport"):
            body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
            assert isinstance(body, ast.ClassDef)
            docs |= {name: text for name, text in assigned(body.body).items() if text}
    return docs


def assigned(statements: list[ast.stmt]) -> dict[str, str]:
    """The names that are assigned to, each with the string behind it, or ""."""
    docs: dict[str, str] = {}
    for statement, behind in zip_longest(statements, statements[1:]):
        if isinstance(statement, ast.If):
            docs |= assigned(statement.body) | assigned(statement.orelse)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            text = behind.value.value if isinstance(behind, ast.Expr) and isinstance(behind.value, ast.Constant) else ""
            for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
                if isinstance(target, ast.Name):
                    docs[target.id] = str(text)
    return docs


def silent(module: ModuleType) -> Iterator[str]:
    """The public constants and aliases of a module that have no string behind them."""
    docs = assigned(ast.parse(inspect.getsource(module)).body)
    yield from (f"{module.__name__}.{name}" for name in getattr(module, "__all__", ()) if docs.get(name) == "")


def main() -> int:
    """Print what is missing, and return the exit status."""
    names = list(public())
    missing = [f"{name.path}: {complaint}" for name in names for complaint in complaints(name)]
    missing += [f"{path}: no docstring" for module in modules() for path in silent(module)]
    print("\n".join(missing) if missing else f"{len(names)} public names, each with its docstring")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
