"""The driver's processes, and every scenario of all libraries, over our own two adapters, briefly."""

import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import certificate
from benchmarks.processes import Pair
from benchmarks.scenarios import SCENARIOS

WORKER = [sys.executable, "-P", "-m", "benchmarks.worker"]
SECONDS = 0.02


@pytest.fixture
async def pair_of(tmp_path: Path):
    files = certificate(tmp_path)
    pairs = []

    def start(adapter: str) -> Pair:
        pairs.append(Pair([*WORKER, adapter], *files))
        return pairs[-1]

    yield start
    for pair in pairs:
        await pair.end()


@pytest.mark.parametrize("adapter", ["ours", "ours_framework"])
async def test_every_scenario_runs_and_tells_what_both_processes_used(pair_of, adapter):
    pair = pair_of(adapter)
    for scenario in [name for name in SCENARIOS if name != "sessions"]:
        result = await pair.run(scenario, SECONDS)
        assert "failed" not in result, (scenario, result)
        assert result["count"] > 0, scenario
        assert result["seconds"] > 0, scenario
        assert result["client"]["cpu"] + result["server"]["cpu"] > 0, scenario


async def test_a_scenario_that_fails_says_why_and_the_next_one_runs(pair_of):
    pair = pair_of("ours")
    assert await pair.run("no such scenario", SECONDS) == {"failed": "KeyError: 'no such scenario'"}
    assert (await pair.run("rpc", SECONDS))["count"] > 0


async def test_an_adapter_that_cannot_be_imported_fails_with_the_reason(pair_of):
    result = await pair_of("aiopquic").run("rpc", SECONDS)
    assert result == {"failed": "the process ended: ModuleNotFoundError: No module named 'aiopquic'"}
