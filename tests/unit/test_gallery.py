import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from infra.local.gallery import write

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """A parsed page: every element with its attributes, and the text of each kind of element."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.markup = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(self.markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]

    def addresses(self) -> Iterator[str]:
        for _, attributes in self.elements:
            yield from (attributes[name] for name in ("href", "src") if name in attributes)


def manifest_of(count: int, **changes: Any) -> dict[str, Any]:
    return {
        "job_id": "job-7f3a9c2e",
        "state": "succeeded",
        "request": {"model": "local-style-transfer", "size": "1024x1024", "n": count, "prompt": None},
        "source": {
            "bucket": "uploads-bucket",
            "key": "uploads/coffee.jpg",
            "content_type": "image/jpeg",
            "width": 600,
            "height": 400,
        },
        "model": "local-style-transfer",
        "dialect": "openai",
        "results": [
            {
                "key": f"v-{number}.png",
                "content_type": "image/png",
                "bytes": 1_834_567,
                "width": 1024,
                "height": 768,
            }
            for number in range(1, count + 1)
        ],
        "adjustments": [],
        "warnings": [],
        "timings": {},
        "error": None,
        **changes,
    }


def gallery(folder: Path, manifest: dict[str, Any], source: str = "coffee.jpg", prefix: str = "variation") -> Page:
    names = [source, *(f"{prefix}-{number:02}.png" for number in range(1, len(manifest["results"]) + 1))]
    for name in names:
        (folder / name).write_bytes(b"a picture")
    return Page(write(folder, manifest, folder / source, [folder / name for name in names[1:]]))


@pytest.mark.parametrize("count", [1, 4, 10])
def test_page_shows_the_source_and_every_variation(tmp_path: Path, count: int) -> None:
    page = gallery(tmp_path, manifest_of(count))

    shown = {image["src"] for image in page.all("img")}
    assert shown == {"coffee.jpg", *(f"variation-{number:02}.png" for number in range(1, count + 1))}
    assert page.open == [], "every element is closed"


def test_every_file_the_page_refers_to_lies_beside_it(tmp_path: Path) -> None:
    page = gallery(tmp_path, manifest_of(3), source="a b+c%20ü(1)#?.png", prefix="vari & ation")

    local = [address for address in page.addresses() if address != "data:,"]
    assert len(local) == 3 * 4, "shown, enlarged and downloadable, for the source and three variations"
    assert all((tmp_path / unquote(address)).is_file() for address in local)
    assert all(address == urlsplit(address).path for address in local), "nothing is read as a query or fragment"


def test_page_asks_nobody_for_anything_and_runs_no_script(tmp_path: Path) -> None:
    page = gallery(tmp_path, manifest_of(2))

    assert not re.search(r"(?:https?:)?//|@import|url\(", page.markup)
    assert not page.all("script")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


HOSTILE = [
    "<script>alert(1)<!--.png",
    '"><img src=x onerror=alert(1)>.png',
    "' onmouseover='alert(1).png",
    "javascript:alert(1).png",
    "&lt;b&gt;.png",
    "$name ${href}.png",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_names_and_values_stay_text(tmp_path: Path, name: str) -> None:
    ordinary = gallery(tmp_path, manifest_of(1, state="partial", error="refused", warnings=["w"]))
    manifest = manifest_of(1, state=name, model=name, dialect=name, job_id=name, error={"message": name})
    manifest["source"] |= {"key": f"uploads/{name}", "content_type": name}
    manifest["request"] |= {"size": name}
    manifest["warnings"] = [name]

    page = gallery(tmp_path, manifest, source=name)

    assert [tag for tag, _ in page.elements] == [tag for tag, _ in ordinary.elements]
    assert [set(values) for _, values in page.elements] == [set(values) for _, values in ordinary.elements]
    assert name in page.text("bdi")
    assert page.text("dd").count(name) == 5
    assert all(urlsplit(address).scheme == "" for address in page.addresses() if address != "data:,")


def test_file_name_that_is_not_unicode_is_still_reachable(tmp_path: Path) -> None:
    page = gallery(tmp_path, manifest_of(1), source="caf\udce9.png")

    assert "caf%E9.png" in set(page.addresses())


def test_every_picture_has_words_and_every_control_a_name(tmp_path: Path) -> None:
    page = gallery(tmp_path, manifest_of(2))

    assert page.all("html") == [{"lang": "en"}]
    assert {image["alt"] for image in page.all("img")} == {
        "Source image coffee.jpg",
        "Variation 1 of coffee.jpg",
        "Variation 2 of coffee.jpg",
    }
    openers = [button["aria-label"] for button in page.all("button") if "popovertargetaction" not in button]
    assert openers == ["Enlarge Source", "Enlarge Variation 1", "Enlarge Variation 2"]
    assert [link["aria-label"] for link in page.all("a")] == [
        "Download Source",
        "Download Variation 1",
        "Download Variation 2",
    ]


def test_every_button_opens_or_closes_an_enlargement_that_exists(tmp_path: Path) -> None:
    page = gallery(tmp_path, manifest_of(10))

    enlargements = [element["id"] for element in page.all("div") if "popover" in element]
    assert len(set(enlargements)) == 11
    assert sorted(button["popovertarget"] for button in page.all("button")) == sorted(enlargements * 2)


def test_details_tell_how_the_variations_were_made(tmp_path: Path) -> None:
    adjustments = [
        {"parameter": "quality", "asked": "hd", "sent": "high", "why": "this model has no hd"},
        {"parameter": "user", "asked": "ada", "sent": None, "why": "not supported"},
    ]
    timings = {"queued_seconds": 0.421, "provider_seconds": 12, "finished_at": "2026-11-22T19:00:00Z"}
    page = gallery(
        tmp_path,
        manifest_of(1, adjustments=adjustments, warnings=["The model retires soon."], timings=timings),
    )

    assert dict(zip(page.text("dt"), page.text("dd"), strict=True)) | {"Adjusted": ""} == {
        "Job": "job-7f3a9c2e",
        "Source": "uploads-bucket/uploads/coffee.jpg",
        "Model": "local-style-transfer",
        "Dialect": "openai",
        "Size": "1024x1024",
        "Time": "queued 0.4 s · provider 12.0 s · finished at 2026-11-22T19:00:00Z",
        "Adjusted": "",
        "Warning": "The model retires soon.",
    }
    assert "quality: asked hd, sent high (this model has no hd)" in page.text("dd")
    assert "user: asked ada, not sent (not supported)" in page.text("dd")


def test_captions_give_dimensions_type_and_weight(tmp_path: Path) -> None:
    manifest = manifest_of(2)
    manifest["results"][1]["bytes"] = 79_975

    page = gallery(tmp_path, manifest)

    assert "600x400 · JPEG" in page.text("span")
    assert "1024x768 · PNG · 1.8 MB" in page.text("span")
    assert "1024x768 · PNG · 80 kB" in page.text("span")


def test_failed_job_shows_the_source_and_what_went_wrong(tmp_path: Path) -> None:
    error = {"code": "provider_refused", "message": "The provider refused this picture."}
    manifest = manifest_of(0, state="failed", model=None, dialect=None, timings=None, error=error)
    manifest["request"]["n"] = 4
    manifest["source"] |= {"width": None, "height": None, "content_type": None}

    page = gallery(tmp_path, manifest)

    assert "The provider refused this picture." in page.text("p")
    assert "· 0 of 4 variations" in page.text("p")
    assert "Model" not in page.text("dt")


def test_picture_outside_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not in the subpath"):
        write(tmp_path, manifest_of(0), Path("/elsewhere/coffee.jpg"), [])


def test_each_result_needs_its_picture(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="longer"):
        write(tmp_path, manifest_of(1), tmp_path / "coffee.jpg", [])


def test_the_gallery_and_the_contact_sheet_have_the_colours_of_the_studio():
    root = Path(__file__).resolve().parents[2]
    foundation = (root / "functions/studio/foundation.css").read_text()
    texts = [(root / "infra/local" / name).read_text() for name in ("gallery.html", "contact_sheet.py")]
    used = {colour for text in texts for colour in re.findall(r"#[0-9a-f]{6}\b", text)}

    shadow_of_the_sheet = {"#281e0f"}  # rgb(40 30 15), which the foundation writes with its strength
    assert len(used) > 12
    assert used - shadow_of_the_sheet <= set(re.findall(r"#[0-9a-f]{6}\b", foundation))
