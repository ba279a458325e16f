"""Take the pictures of the Studio that the documents show: `make screenshots`, on the local stack that is up.

Real variations of the example photographs, by the model of the embedded image server.
"""

import io
import json

import requests
from PIL import Image
from playwright.sync_api import expect

from infra.local.build import ROOT
from infra.local.demo import EXAMPLE
from tests.e2e.browser import PHONE, Visit, chromium, window

ASTRONAUT = EXAMPLE.with_name("astronaut.jpg")
DOCS = ROOT / "docs"
MAKING_SECONDS = 120.0
MAX_BYTES = 300_000
COLOURS = (256, 192, 128, 96)  # of a palette, which takes a third of the bytes


def take(visit, name):
    """Write what the window shows to docs/, with as many colours as fit into MAX_BYTES."""
    visit.page.mouse.move(0, 0)
    shown = Image.open(io.BytesIO(visit.page.screenshot(animations="disabled"))).convert("RGB")
    path = DOCS / f"studio-{name}.png"
    for colours in COLOURS:
        shown.quantize(colours, Image.Quantize.FASTOCTREE).save(path, optimize=True)
        if path.stat().st_size <= MAX_BYTES:
            break
    print(f"{path.relative_to(ROOT)}  {shown.width}x{shown.height}, {path.stat().st_size / 1000:.0f} kB")  # noqa: T201 - a command's answer


def make(visit, picture, words=""):
    """Make four variations of a picture, and wait until they are shown."""
    visit.page.locator("input[type=file]").set_input_files(picture)
    visit.page.get_by_label("What to change").fill(words)
    visit.page.get_by_role("button", name="Make 4 variations").click()
    job = visit.job(picture.name)
    expect(job.get_by_text("Done", exact=True)).to_be_visible(timeout=MAKING_SECONDS * 1000)
    for shown in job.get_by_role("img").all():
        shown.evaluate("picture => picture.decode()")
    return job


def main():
    """Visit the Studio once for each kind of picture."""
    stack = json.loads((ROOT / ".local" / "stack.json").read_text())
    requests.put(f"{stack['image_server_url']}/_faults", json={}, timeout=5).raise_for_status()
    with chromium() as started:
        desktop = Visit(window(started), stack).arrive().come_in()
        job = make(desktop, EXAMPLE)
        take(desktop, "desktop")
        job.get_by_role("button", name="Compare variation 1 with the original").click()
        expect(desktop.page.get_by_role("dialog").get_by_alt_text("Variation 1 of coffee.jpg")).to_be_visible()
        take(desktop, "compare")
        dark = Visit(window(started, color_scheme="dark"), stack).arrive().come_in()
        make(dark, ASTRONAUT)
        take(dark, "dark")
        hand = window(started, viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
        phone = Visit(hand, stack).arrive().come_in()
        make(phone, EXAMPLE)
        take(phone, "phone")


if __name__ == "__main__":
    main()
