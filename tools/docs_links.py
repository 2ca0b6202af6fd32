"""Shows the packages as their users see them, when mkdocstrings makes the reference.

The names in docstrings become links: `Session.close` in backticks refers to what is called so, looked up as its reader would, among the
members of the same class, then in the same module, then among the public names of the package. What is found nowhere, an argument for
example, stays as it is. Classes that users do not make show no constructor, and fields of configurations show their defaults alone. The
sections of a docstring, which stand together in the source, get the blank lines without which they would be read as text. The members of an
enumeration are listed.
"""

import re

from griffe import (
    Alias,
    AliasResolutionError,
    Attribute,
    Class,
    CyclicAliasError,
    Expr,
    ExprCall,
    Extension,
    Function,
    GriffeLoader,
    Module,
    Object,
    Parameters,
)

_LITERAL = re.compile(r"^::\n", re.MULTILINE)
_SECTION = re.compile(r"(?<=[^\n])\n(?=(?:Args|Returns|Raises):\n)")
_NAME = re.compile(r"(?<![`\[])`([A-Za-z]\w*(?:\.[A-Za-z]\w*)*)(?:\(\))?`(?![`\]])")


class DocsLinks(Extension):
    """The extension that mkdocs.yml names."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: object) -> None:
        """Rewrite all docstrings of a package."""
        del loader
        _rewrite(pkg, pkg)

    def on_function(self, *, func: Function, **_: object) -> None:
        """Keep constructors that only the package calls out of sight: they need arguments, and their class documents none."""
        if func.name == "__init__" and func.parent is not None:
            _bare_defaults(func.parameters)
            documented = func.parent.docstring is not None and "Args:" in func.parent.docstring.value
            if not documented and any(parameter.required for parameter in list(func.parameters)[1:]):
                func.parent.del_member("__init__")

    def on_class(self, *, cls: Class, **_: object) -> None:
        """Show the default of a field, not how it is declared."""
        for member in cls.members.values():
            if isinstance(member, Attribute):
                member.value = _bare(member.value)


def _bare_defaults(parameters: Parameters) -> None:
    for parameter in parameters:
        parameter.default = _bare(parameter.default)


def _bare(value: str | Expr | None) -> str | Expr | None:
    """The first argument of a call of ``_setting``."""
    if isinstance(value, ExprCall) and str(value.function) == "_setting":
        return value.arguments[0]
    return value


def _rewrite(thing: Object | Alias, package: Module) -> None:
    if thing.is_alias:
        return
    if thing.docstring is not None:
        text = _SECTION.sub("\n\n", _LITERAL.sub("\n", thing.docstring.value))
        thing.docstring.value = _NAME.sub(lambda match: _link(match, thing, package), text) + _choices(thing)
    for member in list(thing.members.values()):
        _rewrite(member, package)


def _choices(thing: Object | Alias) -> str:
    """The members of an enumeration, numbers as they are on the wire, unless each of them has something to say."""
    if not isinstance(thing, Class) or not any(str(base).endswith("Enum") for base in thing.bases):
        return ""
    members = [member for member in thing.members.values() if isinstance(member, Attribute)]
    if any(member.docstring for member in members):
        return ""
    values = [(member.name, str(member.value)) for member in members]
    lines = [f"{name} = {int(value):#x}" if value.isdecimal() else f"{name} = {value}" for name, value in values]
    return "\n\n```py\n" + "\n".join(lines) + "\n```"


def _link(match: re.Match[str], thing: Object | Alias, package: Module) -> str:
    for scope in _scopes(thing, package):
        path = _find(match[1], scope)
        if path is not None and path != thing.path:
            return f"[{match[0]}][{path}]"
    return match[0]


def _scopes(thing: Object | Alias, package: Module) -> list[Object | Alias]:
    scopes: list[Object | Alias] = []
    inner: Object | Alias | None = thing
    while inner is not None:
        if isinstance(inner, Class | Module):
            scopes.append(inner)
        inner = inner.parent
    return [*scopes, package]


def _find(name: str, scope: Object | Alias) -> str | None:
    """The path of what *name* is in *scope*, if it is shown anywhere."""
    try:
        for part in name.split("."):
            if part.startswith("_"):
                return None
            scope = scope.all_members[part]
        target = scope.final_target if isinstance(scope, Alias) else scope
    except (KeyError, AliasResolutionError, CyclicAliasError):
        return None
    if target.is_module or not target.has_docstring or any(part.startswith("_") for part in target.path.split(".")):
        return None
    return str(target.path)
