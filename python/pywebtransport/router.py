"""Routes: which handler a session goes to, by its path."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from ._arguments import check_callable
from .types import SessionProtocol

__all__ = ["RequestRouter", "RouteMatch", "SessionHandler"]

SessionHandler: TypeAlias = Callable[..., Awaitable[None]]
"""A coroutine function that is called with a session, and with the parameters of its route by their names."""


class RouteMatch(NamedTuple):
    """Where a session goes."""

    handler: SessionHandler
    params: dict[str, str]
    """The parameters of the path, percent-decoded; one that is optional and does not occur is left out."""
    protocols: Sequence[str] = ()
    """The application protocols that the handler speaks."""


@dataclass(frozen=True, slots=True)
class _Route:
    pattern: re.Pattern[str]
    handler: SessionHandler
    protocols: Sequence[str]


class RequestRouter:
    """Finds the handler of a path. It must match as a whole; its query does not count, and it is matched percent-encoded, as it came.

    Exact paths go first, then those with parameters and then patterns, each in the order in which they were added, then the default.
    """

    def __init__(self) -> None:
        self._exact: dict[str, _Route] = {}
        self._templates: dict[str, _Route] = {}
        self._patterns: dict[str, _Route] = {}
        self._default: SessionHandler | None = None
        self._matched: Counter[str] = Counter()
        self._unmatched = 0

    def copy(self) -> "RequestRouter":
        """Another router with the same routes and default, which has counted nothing yet."""
        router = type(self)()
        router._exact, router._templates, router._patterns = self._exact.copy(), self._templates.copy(), self._patterns.copy()
        router._default = self._default
        return router

    def add_route(self, path: str, handler: SessionHandler, *, protocols: Sequence[str] | None = None, override: bool = False) -> None:
        """Send sessions of a path to a handler.

        Args:
            path: As in ``"/chat"``; in ``"/chat/{room}"`` a segment, or a part of it, is a parameter.
            handler: Called with the session, and with ``room`` by its name.
            protocols: The application protocols that it speaks (WT §3.3).
            override: Whether a route that is there already is replaced.
        Raises:
            ValueError: The path does not begin with ``/``, has a parameter without a proper name, or is there already.
        """
        check_path("path", path)
        if not path.startswith("/"):
            raise ValueError(f"the path of a route begins with '/': {path!r}")
        parts = re.split(r"\{([^{}]*)\}", path)
        expression = "".join(f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        routes = self._templates if len(parts) > 1 else self._exact
        _add(routes, path, expression, handler, protocols, override=override)

    def add_pattern_route(
        self, pattern: str, handler: SessionHandler, *, protocols: Sequence[str] | None = None, override: bool = False
    ) -> None:
        r"""Send sessions of all paths that match to a handler.

        Args:
            pattern: A regular expression for whole paths, as in ``r"/rooms/(?P<number>\d+)"``.
            handler: Called with the session, and with the named groups by their names.
            protocols: The application protocols that it speaks (WT §3.3).
            override: Whether the same pattern is replaced if it is there already.
        Raises:
            ValueError: It is not a regular expression, a group has no proper name, or it is there already.
        """
        check_path("pattern", pattern)
        _add(self._patterns, pattern, pattern, handler, protocols, override=override)

    def remove_route(self, path: str) -> bool:
        """Forget the route of a path, which is written as it was added; False if there is no such."""
        return (self._exact.pop(path, None) or self._templates.pop(path, None)) is not None

    def remove_pattern_route(self, pattern: str) -> bool:
        """Forget a pattern; False if there is no such."""
        return self._patterns.pop(pattern, None) is not None

    def set_default_handler(self, handler: SessionHandler | None) -> None:
        """Send sessions here that no route matches; None: nowhere."""
        if handler is not None:
            check_callable("the default handler", handler)
        self._default = handler

    def get_all_routes(self) -> dict[str, SessionHandler]:
        """The handlers by their paths and patterns, in the order in which they are tried."""
        routes = {**self._patterns, **self._templates, **self._exact}
        return {key: routes[key].handler for key in (*self._exact, *self._templates, *self._patterns)}

    def get_route_stats(self) -> dict[str, Any]:
        """How many routes there are of each kind, and how often each was taken; the default has no name, and counts as unmatched."""
        return {
            "exact_routes": len(self._exact),
            "parameter_routes": len(self._templates),
            "pattern_routes": len(self._patterns),
            "has_default_handler": self._default is not None,
            "matched": {key: self._matched[key] for key in self.get_all_routes()},
            "unmatched": self._unmatched,
        }

    def route_request(self, session: SessionProtocol) -> RouteMatch | None:
        """Where a session goes; None: there is neither a route nor a default."""
        if (route := self._exact.get(session.path)) is not None:
            self._matched[session.path] += 1
            return RouteMatch(route.handler, {}, route.protocols)
        for routes in (self._templates, self._patterns):
            for key, route in routes.items():
                if (match := route.pattern.fullmatch(session.path)) is not None:
                    self._matched[key] += 1
                    params = {name: unquote(value) for name, value in match.groupdict().items() if value is not None}
                    return RouteMatch(route.handler, params, route.protocols)
        self._unmatched += 1
        return None if self._default is None else RouteMatch(self._default, {})


def check_path(what: str, path: str) -> None:
    """Whether a route can have such a *path*, or pattern; TypeError for the handler that a decorator without parentheses is given."""
    if not isinstance(path, str):
        raise TypeError(f"the {what} of a route must be a str: {path!r}")


def _add(
    routes: dict[str, _Route], key: str, expression: str, handler: SessionHandler, protocols: Sequence[str] | None, *, override: bool
) -> None:
    check_callable("the handler of a route", handler)
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ValueError(f"{key!r} is not a route: {error}") from error
    if "session" in pattern.groupindex:  # the handler's other argument
        raise ValueError(f"{key!r} is not a route: a parameter cannot be called 'session'")
    if isinstance(protocols, str):
        raise ValueError(f"the protocols of {key!r} are a sequence of strings, not one: {protocols!r}")
    if key in routes and not override:
        raise ValueError(f"there is a route for {key!r} already: override=True replaces it")
    routes[key] = _Route(pattern, handler, tuple(protocols or ()))
