"""A visit to the Studio with a browser, and what must not happen on any visit."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from infra import browser
from infra.local.build import ROOT

AXE = Path(__file__).parent / "axe"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
ZOOMED = {"width": 640, "height": 400}  # the desktop at 200 %
LOOKS = [(size, scheme) for size in (DESKTOP, PHONE) for scheme in ("light", "dark")]
PATIENCE_SECONDS = 20.0
# Only this machine has a name, so that neither the page nor the browser itself can ask anybody else for anything.
ALONE = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-background-networking")
# Drops files on an element; the argument is [it, [[name, type, base64], ...]].
DROP = """([element, files]) => {
    const dataTransfer = new DataTransfer();
    for (const [name, type, content] of files) {
        dataTransfer.items.add(new File([Uint8Array.from(atob(content), c => c.charCodeAt(0))], name, {type}));
    }
    for (const kind of ["dragenter", "dragover", "drop"]) {
        element.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer}));
    }
}"""
# The page looks for news of a job every few seconds, which here are eighths of them.
HURRY = """{
    const real = setTimeout;
    window.setTimeout = (work, wait, ...rest) => real(work, wait < 5000 ? wait / 8 : wait, ...rest);
}"""
# What cards show of their jobs, each state once, in the order of their coming.
STATES = """() => {
    window.statesSeen = [];
    new MutationObserver(() => {
        for (const {textContent} of document.querySelectorAll(".job .state")) {
            if (textContent && !window.statesSeen.includes(textContent)) window.statesSeen.push(textContent);
        }
    }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
# Whether what has the focus shows that: by an outline of its own, or of what it labels.
FOCUS = """() => {
    const focused = document.activeElement;
    const near = [focused, focused.nextElementSibling, focused.closest(".drop")].filter(Boolean);
    return focused !== document.body && near.some(each => parseFloat(getComputedStyle(each).outlineWidth) > 1
        && getComputedStyle(each).outlineStyle !== "none");
}"""
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
AXE_RUN = """async () => (await axe.run(document, {preload: false, resultTypes: ["violations"]})).violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .flatMap(found => found.nodes.map(node => `${found.id}: ${node.target}: ${node.failureSummary}`))"""


def missing(what):
    """Skip what needs a program that is not here, unless nobody would notice."""
    (pytest.fail if browser.required(os.environ) else pytest.skip)(what)


@contextlib.contextmanager
def chromium():
    """Start the machine's Chromium, without a window."""
    path = browser.find(os.environ) or missing(browser.MISSING)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ALONE)
        expect.set_options(timeout=PATIENCE_SECONDS * 1000)
        yield started
        started.close()


def axe():
    """Install axe-core from the lock beside us; returns its source."""
    npm = shutil.which("npm") or missing("The page is checked by axe-core, which npm installs, and there is no npm.")
    folder = ROOT / ".local" / "env" / "axe"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(AXE / name, folder)
    source = folder / "node_modules" / "axe-core" / "axe.min.js"
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    return source.read_text(encoding="utf-8")


def window(started, **options):
    """Open a window with nothing in its memory, in which pages come and go."""
    usual = {"viewport": DESKTOP, "reduced_motion": "reduce", "permissions": ["clipboard-read", "clipboard-write"]}
    context = started.new_context(**usual | options)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    context.add_init_script(HURRY)
    return context


class Visit:
    """One visit in a new tab of a window, with a page whose problems are noted while it is used."""

    def __init__(self, context, stack):
        self.context, self.stack = context, stack
        self.page = context.new_page()
        self.asked, self.problems = [], []
        self.tolerated = []  # texts of the console that a test means to see
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"an error: {error}"))
        self.page.on("request", self._note)
        # Chromium gives file dialogs to us as long as somebody listens, which a test would begin a moment too late.
        self.page.on("filechooser", lambda _: None)

    def _hear(self, message):
        expected = any(text in f"{message.text} {message.location['url']}" for text in self.tolerated)
        if message.type in {"error", "warning"} and not expected:
            self.problems.append(f"the console: {message.text} {message.location['url']}")

    def _note(self, request):
        self.asked.append(request)
        if not request.url.startswith(("data:", "blob:", f"{self.stack['aws_endpoint']}/")):
            self.problems.append(f"a request to {request.url}")

    def close(self):
        """Leave; what was noted is a failure, and so is what stays behind in the browser."""
        self.context.set_offline(False)
        self.problems += self.page.evaluate("Object.keys(localStorage)") + self.context.cookies()
        self.page.close()
        assert not self.problems, self.problems

    def tolerate(self, *texts):
        """Let the console say so, e.g. the status of an answer that is not 200."""
        self.tolerated += texts

    def arrive(self):
        """Load the page as somebody who was never here."""
        self.page.goto(self.stack["studio_url"])
        expect(self.page.get_by_label("Your access key")).to_be_visible()
        return self

    def come_in(self):
        """Come in with the key of the stack."""
        self.show(self.stack["api_key"])
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()
        return self

    def show(self, key):
        """Try a key at the door."""
        self.page.get_by_label("Your access key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()

    def drop(self, *pictures):
        """Drop pictures on the desk, each (name, type, content)."""
        files = [[name, kind, base64.b64encode(content).decode()] for name, kind, content in pictures]
        self.page.evaluate(DROP, [self.page.locator("#drop").element_handle(), files])

    def choose(self, *paths):
        """Bring files by the dialog of the browser."""
        with self.page.expect_file_chooser() as asked:
            self.page.locator("label[for=files] u:visible").click()
        asked.value.set_files(paths)

    def make(self, n=1):
        """Press the button for so many small variations of what is on the desk."""
        self.page.get_by_label("How many variations").fill(str(n))
        finer = self.page.locator("details", has_text="Finer choices")
        if finer.get_attribute("open") is None:
            finer.locator("summary").click()
        self.page.get_by_label("Size", exact=True).select_option("256x256")
        self.page.get_by_role("button", name=re.compile("^Make ")).click()

    def job(self, name):
        return self.page.get_by_role("article", name=name)

    def ended(self, name, as_="Done"):
        """Wait until a job has ended; returns its card."""
        expect(self.job(name).get_by_text(as_, exact=True)).to_be_visible()
        return self.job(name)

    def tab_to(self, wanted):
        """Press Tab until something has the focus; wherever it rests on the way, it can be seen."""
        for _ in range(60):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
            assert self.page.evaluate(FOCUS), "the focus is nowhere to be seen"
        pytest.fail(f"Tab never comes to {wanted}")

    def states(self):
        """Begin to note the states that cards show; returns how to ask for them."""
        self.page.evaluate(STATES)
        return lambda: self.page.evaluate("window.statesSeen")

    def saved(self, press, name=None):
        """Press for a download, which is to have that name; returns what it holds."""
        with self.page.expect_download() as begun:
            press()
        assert name in {None, begun.value.suggested_filename}
        return Path(begun.value.path()).read_bytes()

    def accessible(self, source):
        """Return what axe-core finds serious or critical in the page as it is, and what is too wide, in each look."""
        found = []
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            self.page.evaluate(source)
        for size, scheme in LOOKS:
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            found += [f"{scheme}, {size['width']}: {each}" for each in self.page.evaluate(AXE_RUN)]
            found += self.too_wide()
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(ZOOMED)
        found += self.too_wide()
        self.page.set_viewport_size(DESKTOP)
        return found

    def too_wide(self):
        """Say if the page is wider than its window, so that one has to scroll sideways."""
        content, window = self.page.evaluate(WIDTHS)
        return [f"{content} pixels wide in a window of {window}"] if content > window else []

    def remembered(self):
        """Return everything that the browser keeps of the visit, and every address it asked, as one text."""
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state, name])"
        return self.page.evaluate(kept) + json.dumps(self.context.cookies()) + self.addresses()

    def addresses(self):
        """Return every address that was asked, as one text."""
        return " ".join([self.page.url, *(request.url for request in self.asked)])
