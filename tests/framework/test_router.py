"""Routes: which handler a path goes to, with which parameters."""

from dataclasses import dataclass

import pytest
from pywebtransport import RequestRouter


@dataclass
class Asked:
    """As much of a session as a router looks at."""

    path: str


async def first(session):
    """A handler."""


async def second(session):
    """Another one."""


def route(router, path):
    match = router.route_request(Asked(path))
    return match and (match.handler, match.params)


def test_exact_paths_match_as_a_whole():
    """A path is another one with a slash behind it, or in another case."""
    router = RequestRouter()
    router.add_route("/", first)
    router.add_route("/a.b", second)
    assert route(router, "/") == (first, {})
    assert route(router, "/a.b") == (second, {})
    for path in ("/a.b/", "/A.b", "/aXb", "//", "", "/a"):
        assert route(router, path) is None


def test_parameters_are_segments_or_parts_of_them():
    """They are never empty, never go over a slash, and come decoded."""
    router = RequestRouter()
    router.add_route("/chat/{room}", first)
    router.add_route("/v{major}.{minor}/x", second)
    assert route(router, "/chat/a%20b%2Fc") == (first, {"room": "a b/c"})
    assert route(router, "/v1.22/x") == (second, {"major": "1", "minor": "22"})
    for path in ("/chat/", "/chat", "/chat/a/b", "/chat/a\n/b", "/v1/x", "/v1.2/x/"):
        assert route(router, path) is None


def test_patterns_match_as_a_whole():
    """Named groups are parameters, one that does not take part is left out, and others are none."""
    router = RequestRouter()
    router.add_pattern_route(r"/n/(?P<number>\d+)(/(?P<more>\w+))?", first)
    assert route(router, "/n/12") == (first, {"number": "12"})
    assert route(router, "/n/12/ab") == (first, {"number": "12", "more": "ab"})
    for path in ("/n/12x", "/x/n/12", "/n/12/", "/n/12\n"):
        assert route(router, path) is None


def test_exact_goes_before_parameters_before_patterns_before_the_default():
    """Whatever the order is in which they were added; within a kind that order counts."""
    router = RequestRouter()
    router.set_default_handler(second)
    router.add_pattern_route("/.*", first)
    router.add_route("/{any}", second)
    router.add_route("/{other}", first)
    router.add_route("/a", first)
    assert route(router, "/a") == (first, {})
    assert route(router, "/b") == (second, {"any": "b"})
    assert route(router, "/b/c") == (first, {})
    assert list(router.get_all_routes()) == ["/a", "/{any}", "/{other}", "/.*"]
    assert router.remove_route("/a")
    assert router.remove_pattern_route("/.*")
    assert not router.remove_route("/a")
    assert not router.remove_pattern_route("/.*")
    assert route(router, "/a") == (second, {"any": "a"})
    assert router.remove_route("/{any}")
    assert route(router, "/a") == (first, {"other": "a"})
    assert route(router, "/b/c") == (second, {})
    router.set_default_handler(None)
    assert route(router, "/b/c") is None


def test_what_is_no_route():
    """It is said when it is added, with its text."""
    router = RequestRouter()
    for path in ("a", "", "{a}", "/{}", "/{1}", "/{a}/{a}", "/{session}", "/{a-b}"):
        with pytest.raises(ValueError, match="route"):
            router.add_route(path, first)
    for pattern in ("/(", "/(?P<session>.)"):
        with pytest.raises(ValueError, match="is not a route"):
            router.add_pattern_route(pattern, first)
    with pytest.raises(ValueError, match="a sequence of strings"):
        router.add_route("/", first, protocols="chat")
    assert router.get_all_routes() == {}


def test_a_route_is_replaced_only_if_asked():
    """Two handlers for one path are a mistake, unless one says it is none."""
    router = RequestRouter()
    for add in (router.add_route, router.add_pattern_route):
        add("/{a}" if add == router.add_route else "/a+", first)
        with pytest.raises(ValueError, match="override=True"):
            add("/{a}" if add == router.add_route else "/a+", second)
        add("/{a}" if add == router.add_route else "/a+", second, override=True)
    assert set(router.get_all_routes().values()) == {second}


def test_stats_count():
    """How many routes there are, and how often each was taken."""
    router = RequestRouter()
    router.add_route("/", first)
    router.add_route("/{a}", first)
    router.add_pattern_route("/a/.", first)
    for path in ("/", "/", "/x", "/a/b", "/a/b/c"):
        route(router, path)
    assert router.get_route_stats() == {
        "exact_routes": 1,
        "parameter_routes": 1,
        "pattern_routes": 1,
        "has_default_handler": False,
        "matched": {"/": 2, "/{a}": 1, "/a/.": 1},
        "unmatched": 1,
    }
