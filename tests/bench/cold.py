"""Measure cold starts under Lambda's own runtime client, which the interface emulator of AWS SAM drives.

What counts is the line INIT REPORT of the emulator's log: from the start of the interpreter until the handler's
module is imported. The "Init Duration" of its REPORT means nothing (aws-sam-cli 1.170.0, seen 2026-11-22).
"""

import json
import os
import platform
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.bench.child import make_event
from tests.bench.contenders import BUILT, ENVIRONMENTS, PACKAGES, PYTHON, Contender
from tests.bench.runner import Figures, WorkerFailed, check_work
from tests.bench.scenarios import Scenario
from tests.bench.stub_process import RunningStub

ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
EMULATOR = ENVIRONMENTS / "sam" / PACKAGES / "samcli/local/rapid" / f"aws-lambda-rie-{ARCHITECTURE}"
INVOKE = "http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
INIT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
START_SECONDS = 10
ANSWER_SECONDS = 60


def measure_cold(scenario: Scenario, contenders: Mapping[str, Contender], stub: RunningStub) -> Figures:
    """Measure a cold start and the first invocation of each worker, as measure() does.

    Raises:
        WorkerFailed: one did not start, did not answer, or stored something else than the provider sent.
    """
    EMULATOR.chmod(0o755)  # the wheel leaves it without
    sent = stub.play(scenario.n, scenario.size)
    figures: Figures = {name: [] for name in scenario.contenders}
    for repetition in range(scenario.repetitions):
        for name in scenario.contenders:
            contender = contenders[name]
            figures[name].append(_start(contender, stub.origin, scenario.n, f"cold-{name}-{repetition}"))
            stored = stub.take_stored()
            if contender.event != "none":
                check_work(contender, stored, sent, 1)
    return figures


def _start(contender: Contender, origin: str, n: int, picture: str) -> dict[str, float]:
    """Start the emulator with a worker, invoke it once, and end both."""
    environment = contender.environment(origin, n)
    event = {} if contender.event == "none" else make_event(contender.event, picture, environment)
    environment["PYTHONPATH"] += f"{os.pathsep}{BUILT / 'runtime'}"
    environment["AWS_LAMBDA_FUNCTION_TIMEOUT"] = "600"
    ports = _free_ports()
    addresses = ["--runtime-interface-emulator-address", f"127.0.0.1:{ports[0]}"]
    addresses += ["--runtime-api-address", f"127.0.0.1:{ports[1]}"]
    worker = [PYTHON, "-S", "-P", "-m", "awslambdaric", f"{contender.module}.handler"]
    with tempfile.TemporaryFile("w+") as log:
        command = [str(EMULATOR), *addresses, "--log-level", "info", *worker]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            seconds, answer = _invoke(ports[0], event)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the group that was started above: the emulator and the worker
            process.wait()
        log.seek(0)
        written = log.read()
    found = INIT.search(written)
    if found is None:
        raise WorkerFailed(f"{contender.name} did not start under the emulator:\n{written[-3000:]}")
    if contender.event == "none":  # whatever it answers to an empty event
        return {"init_ms": float(found[1])}
    if "errorType" in answer or answer.get("batchItemFailures"):
        raise WorkerFailed(f"{contender.name} failed under the emulator: {answer}\n{written[-3000:]}")
    return {"init_ms": float(found[1]), "cold_ms": seconds * 1000}


def _invoke(port: int, event: Any) -> tuple[float, dict[str, Any]]:
    """Invoke a worker; return the seconds until its answer, and that."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.01)
    request = urllib.request.Request(INVOKE.format(port=port), json.dumps(event).encode())
    started = time.perf_counter()
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        content = json.loads(answer.read() or b"{}")
    return time.perf_counter() - started, content


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
