"""The two processes of a library, which speak the JSON lines that `benchmarks.worker` describes."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.usage import between

ROOT = Path(__file__).parents[1]
START = 20.0  # seconds that a process may take to start
PATIENCE = 15.0  # seconds between two lines of a scenario, beyond what it measures


class WorkerError(Exception):
    """A process has ended, or did not answer in time."""


class Worker:
    """A process, and a line at a time from and to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._said = asyncio.create_task(self._last_words())

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Worker":
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)
        return cls(process)

    async def _last_words(self) -> str:
        assert self._process.stderr is not None
        last = ""
        async for line in self._process.stderr:
            last = line.decode(errors="replace").strip() or last
        return last

    async def read(self, patience: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), patience)
        except TimeoutError:
            raise WorkerError(f"no answer in {patience:.0f} s") from None
        if not line:
            raise WorkerError(f"the process ended: {await self._said}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def write(self, **message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 2)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._said


class Pair:
    """A server and its client."""

    def __init__(self, command: Sequence[str], certificate: Path, key: Path, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._command, self._files = command, (str(certificate), str(key))
        self._workers: list[Worker] = []

    async def run(self, scenario: str, seconds: float) -> dict[str, Any]:
        """What the scenario gave, with what both sides used; or ``{"failed": why}``, and then the next one has new processes."""
        try:
            server, client = self._workers or await self._start()
            client.write(scenario=scenario, seconds=seconds)
            used = []
            while "phase" in (answer := await client.read(self._patience + 5 * seconds)):
                server.write()
                used.append((await server.read(START))["usage"])
                client.write()
        except WorkerError as error:
            answer = {"failed": str(error)}
        if "failed" in answer:
            await self.end()
            return answer
        result: dict[str, Any] = answer["result"]
        return result | {"server": between(*used)}

    async def _start(self) -> list[Worker]:
        self._workers.append(await Worker.start([*self._command, "serve", *self._files]))
        port = (await self._workers[0].read(START))["port"]
        self._workers.append(await Worker.start([*self._command, "client", str(port)]))
        return self._workers

    async def end(self) -> None:
        workers, self._workers = self._workers, []
        for worker in reversed(workers):
            with suppress(ConnectionError):
                await worker.end()
