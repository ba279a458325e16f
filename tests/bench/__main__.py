"""Measure our functions beside those that others would write: `make bench`, or `python -m tests.bench --quick`.

Everybody works against the same stub on this machine, each in fresh processes that take turns. What comes of a whole
run goes to docs/performance.md (between its markers), docs/performance.json and docs/performance.png; of a quick or a
partial one, only below .local/bench. Nothing fails for being slow; a worker that stores wrong bytes ends the run.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.lock import PEERS
from tests.bench.cold import measure_cold
from tests.bench.contenders import BUNDLE, CERTIFICATE, ENVIRONMENTS, FOLDER, prepare_contenders
from tests.bench.report import summarize, write_tables
from tests.bench.runner import WorkerFailed, measure
from tests.bench.scenarios import choose
from tests.bench.stub_process import ROOT, running_stub

DOCS = ROOT / "docs"
COUNTS, SIZES = [1, 4, 10], [1.5, 4.0]
MARKED = re.compile(r"(?<=<!-- bench:begin -->\n).*(?=<!-- bench:end -->)", re.DOTALL)
PINNED = re.compile(r"^([\w.-]+)(?:\[.*\])?==([\w.]+)", re.MULTILINE)


def main() -> None:
    """Run the scenarios, and write down what came of them."""
    arguments = _arguments()
    scenarios = [
        scenario
        for scenario in choose(
            arguments.n, arguments.size, arguments.reps, arguments.warm, litellm=not arguments.no_litellm
        )
        if scenario.name.startswith(arguments.only)
    ]
    contenders, measured = prepare_contenders(), {}
    with running_stub(CERTIFICATE, BUNDLE) as stub:
        for scenario in scenarios:
            started = time.monotonic()
            run = measure_cold if scenario.kind == "cold" else measure
            measured[scenario.name] = run(scenario, contenders, stub)
            _say(f"{scenario.title}: {scenario.repetitions} times, {time.monotonic() - started:.0f} s")
    summary = {"date": datetime.now(UTC).date().isoformat(), **_surroundings(), **summarize(scenarios, measured)}
    tables = write_tables(summary)
    sys.stdout.write(f"{tables}\n")
    is_whole = (arguments.n, arguments.size) == (COUNTS, SIZES) and not (arguments.only or arguments.no_litellm)
    _write(DOCS if is_whole else FOLDER, summary, tables)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--n", type=_numbers(int), default=COUNTS, help="pictures an answer")
    parser.add_argument("--size", type=_numbers(float), default=SIZES, help="MiB: for throughput, for memory")
    parser.add_argument("--reps", type=int, default=5, help="fresh processes for each worker; thrice that for init")
    parser.add_argument("--warm", type=int, default=5, help="invocations that follow the first one")
    parser.add_argument("--quick", action="store_true", help="n of 10, two repetitions, no LiteLLM: four minutes")
    parser.add_argument("--no-litellm", action="store_true", help="it takes seconds to start")
    parser.add_argument(
        "--only", default="", help="scenarios by the beginning of their name: init, fast_10, slow, memory, growth, cold"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.n, arguments.reps, arguments.warm, arguments.no_litellm = [10], 2, 2, True
    return arguments


def _numbers(kind: type) -> Any:
    return lambda text: [kind(part) for part in text.split(",")]


def _surroundings() -> dict[str, Any]:
    """Say what was measured on what, without a name of this machine."""
    machine = {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    peers = {peer: f"tests/bench/peers/{peer}/requirements.in" for peer in PEERS}
    files = {"ours": "infra/layer/requirements.txt", **peers}
    return {
        "machine": machine,
        "packages": {name: dict(PINNED.findall((ROOT / file).read_text())) for name, file in files.items()},
    }


def _write(folder: Path, summary: dict[str, Any], tables: str) -> None:
    written = folder / "performance.json"
    written.write_text(json.dumps(summary, indent=2) + "\n")
    if folder == DOCS:
        machine = summary["machine"]
        where = f"{machine['cores']} cores of {machine['architecture']}, Python {machine['python']}, {summary['date']}."
        document = DOCS / "performance.md"
        text, marked = MARKED.subn(lambda _: f"\nMeasured on {where}\n\n{tables}\n", document.read_text())
        if not marked:
            raise SystemExit(f"{document} has no markers.")
        document.write_text(text)
    python = str(ENVIRONMENTS / "bench" / "bin" / "python")
    subprocess.run(
        [python, "-m", "tests.bench.chart", str(written), str(folder / "performance.png")], cwd=ROOT, check=True
    )
    _say(f"Written below {folder.relative_to(ROOT)}.")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    try:
        main()
    except WorkerFailed as error:
        raise SystemExit(f"The run does not count: {error}") from error
