"""Write a gallery: one page that shows a finished job, to be opened from disk beside its pictures.

The page needs nothing but itself and the pictures: no script, no font, no request to anyone. Keys, prompts
and messages come from strangers: whatever enters a template is escaped where it enters.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any
from urllib.parse import quote

PAGE = Template(Path(__file__).with_name("gallery.html").read_text(encoding="utf-8"))
FIGURE = Template("""\
<figure>
<button popovertarget="$anchor" aria-label="Enlarge $label"><img src="$href" alt="$alt"></button>
<figcaption><strong>$label</strong> <span>$facts</span>
<a href="$href" download="$file" aria-label="Download $label">Download</a></figcaption>
<div id="$anchor" class="view" popover>
<p>$label <button popovertarget="$anchor" popovertargetaction="hide">Close</button></p>
<img src="$href" alt="$alt" loading="lazy">
</div>
</figure>""")
DETAIL = Template("<dt>$term</dt><dd>$value</dd>")


def write(folder: Path, manifest: Mapping[str, Any], source: Path, variations: Sequence[Path]) -> Path:
    """Write `index.html` into the folder that holds the pictures.

    Args:
        folder: where the page goes.
        manifest: of a finished job; also of a failed one, which has no results.
        source: the source image, anywhere below `folder`.
        variations: the stored results below `folder`, in the manifest's order.

    Returns:
        Where the page is.

    Raises:
        ValueError: a picture is outside `folder`, or there is not one picture for each result.
    """
    name = PurePosixPath(manifest["source"].get("key") or source.name).name
    results = manifest.get("results") or []
    figures = [
        _figure(f"Variation {place}", f"Variation {place} of {name}", path.relative_to(folder), result)
        for place, (path, result) in enumerate(zip(variations, results, strict=True), start=1)
    ]
    page = PAGE.substitute(
        name=escape(name),
        state=escape(manifest["state"]),
        error=escape(_error(manifest)),
        summary=escape(_summary(manifest, len(figures))),
        source=_figure("Source", f"Source image {name}", source.relative_to(folder), manifest["source"]),
        variations="\n".join(figures),
        details="\n".join(_fill(DETAIL, term=term, value=value) for term, value in _details(manifest) if value),
    )
    index = folder / "index.html"
    index.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")  # a file name may hold any byte
    return index


def _fill(template: Template, **values: str) -> str:
    return template.substitute({name: escape(value) for name, value in values.items()})


def _figure(label: str, alt: str, path: Path, picture: Mapping[str, Any]) -> str:
    return _fill(
        FIGURE,
        anchor=label.lower().replace(" ", "-"),
        label=label,
        alt=alt,
        href=quote(os.fsencode(path.as_posix())),
        file=path.name,
        facts=" · ".join(_facts(picture)),
    )


def _facts(picture: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the manifest knows of a picture; of a source that could not be read it knows little."""
    if picture.get("width") and picture.get("height"):
        yield f"{picture['width']}x{picture['height']}"
    if picture.get("content_type"):
        yield picture["content_type"].removeprefix("image/").upper()
    if picture.get("bytes"):
        kilobytes = picture["bytes"] / 1000
        yield f"{kilobytes:.0f} kB" if kilobytes < 1000 else f"{kilobytes / 1000:.1f} MB"


def _summary(manifest: Mapping[str, Any], made: int) -> str:
    asked = (manifest["request"] or {}).get("n") or made
    count = f"{made} of {asked} variations" if made < asked else f"{made} variation{'s' * (made != 1)}"
    return " · ".join(str(part) for part in (count, manifest.get("model")) if part)


def _error(manifest: Mapping[str, Any]) -> str:
    error = manifest.get("error") or ""
    return str(error["message"] if isinstance(error, Mapping) else error)


def _details(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    request = manifest["request"] or {}
    yield "Job", manifest["job_id"]
    yield "Source", "/".join(manifest["source"].get(part) or "…" for part in ("bucket", "key"))
    yield "Model", manifest.get("model") or ""
    yield "Dialect", manifest.get("dialect") or ""
    yield "Size", str(request.get("size") or "")
    yield "Prompt", request.get("prompt") or ""
    yield "Time", " · ".join(_timing(name, value) for name, value in (manifest.get("timings") or {}).items())
    for adjustment in manifest.get("adjustments") or []:
        yield "Adjusted", _adjustment(adjustment)
    for warning in manifest.get("warnings") or []:
        yield "Warning", str(warning)


def _adjustment(adjustment: Mapping[str, Any]) -> str:
    sent = "not sent" if adjustment["sent"] is None else f"sent {adjustment['sent']}"
    return f"{adjustment['parameter']}: asked {adjustment['asked']}, {sent} ({adjustment['why']})"


def _timing(name: str, value: object) -> str:
    """Word one timing: `provider_seconds: 12.34` is "provider 12.3 s"; what is no duration stays as it is."""
    words = name.removesuffix("_seconds").replace("_", " ")
    return f"{words} {value:.1f} s" if isinstance(value, int | float) else f"{words} {value}"
