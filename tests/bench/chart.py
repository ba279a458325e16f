"""Draw what README.md shows of a run: `python -m tests.bench.chart performance.json performance.png`.

Runs in the bench environment, for matplotlib, and knows nothing but the JSON.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

REFERENCE = "openai_sdk"
# Scenario, figure, and what it is called; of two scenarios the first that was measured.
PANELS = (
    (("cold", "init"), "init_ms", "Cold start: init alone"),
    (("cold", "fast_1"), "cold_ms", "Cold start: until the first picture is stored"),
    (("fast_10",), "warm_ms", "Warm: ten pictures of 1.5 MiB"),
    (("memory",), "peak_mib", "Peak memory: ten pictures of 4 MiB"),
)
WORKERS = {  # in the order of the bars, from above
    "process_jobs": "image-variations",
    "boto3_only": "boto3, two clients",
    "openai_sdk": "OpenAI SDK",
    "fastapi_mangum": "FastAPI + Mangum",
    "litellm": "LiteLLM",
}
OURS, OTHERS, INK = "#1f6feb", "#b6bec9", "#24292f"
WIDTH_INCHES, PANEL_INCHES, BAR_INCHES, DPI = 8, 0.62, 0.3, 200


def main() -> None:
    """Draw a panel for each figure, with a bar for each worker: its median ratio to the OpenAI SDK."""
    summary = json.loads(Path(sys.argv[1]).read_text())
    found: dict[str, dict[str, float]] = {title: _ratios(summary, names, figure) for names, figure, title in PANELS}
    panels = [(title, ratios) for title, ratios in found.items() if ratios]
    if not panels:
        return
    heights = [PANEL_INCHES + BAR_INCHES * len(ratios) for _, ratios in panels]
    plt.rcParams.update({"font.size": 10, "text.color": INK, "axes.labelcolor": INK, "ytick.color": INK})
    figure, axes = plt.subplots(
        len(panels), squeeze=False, figsize=(WIDTH_INCHES, sum(heights)), height_ratios=heights, layout="constrained"
    )
    for axis, (title, ratios) in zip(axes[:, 0], panels, strict=True):
        _draw(axis, title, ratios)
    axes[-1, 0].set_xlabel("relative to the OpenAI SDK, shorter is better")
    figure.savefig(sys.argv[2], dpi=DPI, facecolor="white")


def _ratios(summary: Mapping[str, Any], names: tuple[str, ...], figure: str) -> dict[str, float]:
    measured = {scenario["name"]: scenario["ratios"] for scenario in summary["scenarios"]}
    ratios: dict[str, Any] = next((measured[name] for name in names if name in measured), {})
    key = f"{figure}/{REFERENCE}"
    return {worker: ratios[worker][key]["median"] for worker in WORKERS if key in ratios.get(worker, {})}


def _draw(axis: Any, title: str, ratios: Mapping[str, float]) -> None:
    names = [WORKERS[worker] for worker in ratios]
    colours = [OURS if worker == "process_jobs" else OTHERS for worker in ratios]
    bars = axis.barh(names, list(ratios.values()), color=colours, height=0.72)
    axis.bar_label(bars, [f"{ratio:.2f}" for ratio in ratios.values()], padding=4)
    axis.set_title(title, loc="left", fontweight="bold", fontsize=11)
    axis.set_xlim(0, max(*ratios.values(), 1) * 1.1)
    axis.invert_yaxis()
    axis.axvline(1, color=INK, linewidth=0.8, linestyle=":")
    axis.tick_params(length=0)
    axis.set_xticks([])
    axis.spines[:].set_visible(False)


if __name__ == "__main__":
    main()
