"""Run the workers of a scenario, each in a fresh process and one after the other, round robin over repetitions."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.contenders import BUNDLE, PYTHON, Contender
from tests.bench.scenarios import FLOOR, Scenario
from tests.bench.stub_process import RunningStub, check_stored

CHILD, SOCKETS = (str(Path(__file__).with_name(name)) for name in ("child.py", "floor.py"))
LONGEST_SECONDS = 300
Figures = dict[str, list[dict[str, float]]]  # worker -> its figures, one set for each repetition in their order


class WorkerFailed(Exception):
    """A worker did not do its work."""


def measure(scenario: Scenario, contenders: Mapping[str, Contender], stub: RunningStub) -> Figures:
    """Measure a scenario.

    Raises:
        WorkerFailed: one ended with an error, or stored something else than the provider sent.
    """
    sent = stub.play(scenario.n, scenario.size, put_latency=scenario.put_latency, bandwidth=scenario.bandwidth)
    figures: Figures = {name: [] for name in scenario.contenders}
    if scenario.kind == "work":
        figures[FLOOR] = []
    for _ in range(scenario.repetitions):
        for name in scenario.contenders:
            figures[name].append(_run_worker(scenario, contenders[name], stub, sent))
        if FLOOR in figures:
            figures[FLOOR].append(_run_floor(scenario, stub))
    return figures


def measure_child(name: str, command: list[str], environment: Mapping[str, str]) -> dict[str, float]:
    """Run a command and return the JSON of its last line.

    Raises:
        WorkerFailed: it ended with an error.
    """
    ended = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    if ended.returncode:
        raise WorkerFailed(f"{name} ended with {ended.returncode}:\n{(ended.stdout + ended.stderr)[-3000:]}")
    measured: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    return measured


def check_work(contender: Contender, stored: list[dict[str, Any]], sent: list[str], invocations: int) -> None:
    """Compare what a worker stored with what the provider sent it.

    Raises:
        WorkerFailed: it is not the same.
    """
    try:
        check_stored(stored, sent, invocations)
    except ValueError as error:
        raise WorkerFailed(f"{contender.name}: {error}") from error


def _run_worker(scenario: Scenario, contender: Contender, stub: RunningStub, sent: list[str]) -> dict[str, float]:
    event = "none" if scenario.kind == "init" else contender.event
    command = [PYTHON, "-S", "-P", CHILD, contender.module, event, str(scenario.warm)]
    measured = measure_child(contender.name, command, contender.environment(stub.origin, scenario.n))
    stored = stub.take_stored()
    if event != "none":
        check_work(contender, stored, sent, 1 + scenario.warm)
    return measured


def _run_floor(scenario: Scenario, stub: RunningStub) -> dict[str, float]:
    numbers = (scenario.n, scenario.size, scenario.warm)
    command = [sys.executable, SOCKETS, str(stub.port), str(BUNDLE), *map(str, numbers)]
    measured = measure_child(FLOOR, command, {})
    stub.take_stored()
    return measured
