"""Make ratios of what was measured, and tables of the ratios.

A ratio is made within each repetition, where both workers ran on the same machine in the same minute; what is told is
the median of these ratios, the least and the greatest. Milliseconds are there to be compared within one table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from tests.bench.contenders import REFERENCE
from tests.bench.runner import Figures
from tests.bench.scenarios import FLOOR, US, Scenario

LABELS = {
    US: "**ours: the worker**",
    "list_models": "**ours: GET /models**",
    "create_variations": "**ours: POST /images/variations**",
    "boto3_only": "boto3, two clients and no more",
    "openai_sdk": "OpenAI SDK",
    "fastapi_mangum": "FastAPI + Mangum + OpenAI SDK",
    "litellm": "LiteLLM",
    FLOOR: "sockets alone",
}
# For each kind of scenario: column -> (figure, the worker it is divided by, or None for the figure itself).
COLUMNS: dict[str, dict[str, tuple[str, str | None]]] = {
    "init": {
        "init ms": ("init_ms", None),
        "CPU ms": ("init_cpu_ms", None),
        "MiB": ("init_peak_mib", None),
        "init ÷ OpenAI SDK": ("init_ms", REFERENCE),
        "init ÷ boto3": ("init_ms", "boto3_only"),
        "init ÷ FastAPI": ("init_ms", "fastapi_mangum"),
    },
    "work": {
        "init + first ms": ("cold_ms", None),
        "warm ms": ("warm_ms", None),
        "warm CPU ms": ("warm_cpu_ms", None),
        "peak MiB": ("peak_mib", None),
        "init + first ÷ OpenAI SDK": ("cold_ms", REFERENCE),
        "warm ÷ OpenAI SDK": ("warm_ms", REFERENCE),
        "warm CPU ÷ OpenAI SDK": ("warm_cpu_ms", REFERENCE),
        "peak ÷ OpenAI SDK": ("peak_mib", REFERENCE),
        "warm ÷ sockets": ("warm_ms", FLOOR),
    },
    "growth": {
        "MiB after init": ("init_peak_mib", None),
        "peak MiB": ("peak_mib", None),
        "difference MiB": ("growth_mib", None),
        "difference ÷ OpenAI SDK": ("growth_mib", REFERENCE),
    },
    "cold": {
        "init ms": ("init_ms", None),
        "init + first ms": ("cold_ms", None),
        "init ÷ OpenAI SDK": ("init_ms", REFERENCE),
        "init ÷ boto3": ("init_ms", "boto3_only"),
        "init + first ÷ OpenAI SDK": ("cold_ms", REFERENCE),
    },
}
Measured = Mapping[str, Figures]  # name of a scenario -> what was measured


class Ratio(NamedTuple):
    """The ratios of all repetitions in short."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Target:
    """What a ratio may be at most: of `ours` to `theirs`, each a scenario and a worker in it."""

    text: str
    figure: str
    ours: tuple[str, str]
    theirs: tuple[str, str]
    at_most: float

    def ratio(self, measured: Measured) -> Ratio | None:
        """Return what was measured, or None where it was not."""
        ours, theirs = (measured.get(scenario, {}).get(worker) for scenario, worker in (self.ours, self.theirs))
        return make_ratio(ours, theirs, self.figure) if ours and theirs else None


def _against(text: str, figure: str, scenario: str, at_most: float, *, us: str = US, peer: str = REFERENCE) -> Target:
    return Target(text, figure, (scenario, us), (scenario, peer), at_most)


TARGETS = (
    _against("init of the worker ÷ boto3 with two clients", "init_ms", "init", 0.85, peer="boto3_only"),
    _against("init of the worker ÷ OpenAI SDK", "init_ms", "init", 0.36),
    *(
        _against(f"init of {text} ÷ FastAPI", "init_ms", "init", 0.40, us=module, peer="fastapi_mangum")
        for text, module in (("GET /models", "list_models"), ("POST /images/variations", "create_variations"))
    ),
    _against("warm, 10 of 1.5 MiB, no latency ÷ OpenAI SDK", "warm_ms", "fast_10", 0.55),
    _against("warm, 10 of 1.5 MiB, slow network ÷ OpenAI SDK", "warm_ms", "slow_10", 0.52),
    _against("peak memory, 10 of 4 MiB ÷ OpenAI SDK", "peak_mib", "memory", 0.33),
    *(
        Target(f"memory above init: {text}", "growth_mib", ("growth_10_4.5", US), (small, US), 1.2)
        for text, small in (
            ("10 of 4.5 MiB ÷ 2 of 4.5 MiB", "growth_2_4.5"),
            ("10 of 4.5 MiB ÷ 10 of 0.75 MiB", "growth_10_0.75"),
        )
    ),
)


def make_ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]], figure: str) -> Ratio | None:
    """Divide a figure of each repetition by that of the same repetition; None where one of them has no such figure."""
    pairs = list(zip(ours, theirs, strict=True))
    if not all(figure in one and other.get(figure) for one, other in pairs):
        return None
    ratios = [one[figure] / other[figure] for one, other in pairs]
    return Ratio(median(ratios), min(ratios), max(ratios))


def summarize(scenarios: Iterable[Scenario], measured: Measured) -> dict[str, Any]:
    """Return the medians and ratios of a run, and its targets, as docs/performance.json holds them."""
    return {
        "scenarios": [_summarize(scenario, measured[scenario.name]) for scenario in scenarios],
        "targets": [
            {"target": target.text, "at_most": target.at_most, **ratio._asdict(), "met": ratio.median <= target.at_most}
            for target in TARGETS
            if (ratio := target.ratio(measured))
        ],
    }


def _summarize(scenario: Scenario, figures: Figures) -> dict[str, Any]:
    names = ("kind", "name", "title", "n", "size", "put_latency", "bandwidth", "warm", "repetitions")
    ratios = {
        worker: {
            f"{figure}/{base}": ratio._asdict()
            for figure, base in COLUMNS[scenario.kind].values()
            if base in figures and (ratio := make_ratio(runs, figures[base], figure))
        }
        for worker, runs in figures.items()
    }
    medians = {
        worker: {figure: round(median(run[figure] for run in runs), 2) for figure in runs[0]}
        for worker, runs in figures.items()
    }
    return {**{name: getattr(scenario, name) for name in names}, "medians": medians, "ratios": ratios}


def write_tables(summary: Mapping[str, Any]) -> str:
    """Write the tables of a run in Markdown: its targets, then each scenario."""
    return "\n".join([*_target_table(summary), *(line for each in summary["scenarios"] for line in _table(each))])


def _target_table(summary: Mapping[str, Any]) -> Iterator[str]:
    yield from _rows(["ratio", "median", "least", "greatest", "target", ""])
    for target in summary["targets"]:
        figures = (f"{target[name]:.2f}" for name in ("median", "least", "greatest"))
        verdict = "ok" if target["met"] else "missed"
        yield _row([target["target"], *figures, f"≤ {target['at_most']:.2f}", verdict])
    memory = next((each for each in summary["scenarios"] if each["name"] == "memory"), None)
    if memory:
        peak = memory["medians"][US]["peak_mib"]
        fits = "fits" if peak < 256 else "does not fit"
        yield f"\nThe worker's peak, {memory['title']}: {peak:.0f} MiB, which {fits} a function of 256 MB."


def _table(scenario: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n### {scenario['title']}\n"
    columns = {
        title: (figure, base)
        for title, (figure, base) in COLUMNS[scenario["kind"]].items()
        if base is None or base in scenario["medians"]
    }
    yield from _rows(["", *columns])
    for worker in scenario["medians"]:
        yield _row([LABELS[worker], *(_cell(scenario, worker, *column) for column in columns.values())])


def _cell(scenario: Mapping[str, Any], worker: str, figure: str, base: str | None) -> str:
    if base is None:
        absolute = scenario["medians"][worker].get(figure)
        return "" if absolute is None else f"{absolute:.0f}"
    ratio = scenario["ratios"][worker].get(f"{figure}/{base}")
    return f"{ratio['median']:.2f}" if ratio else ""


def _rows(titles: list[str]) -> list[str]:
    return [_row(titles), _row(["---"] + ["---:"] * (len(titles) - 1))]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
