"""The Studio in a real browser: from a picture that is dropped to a variation that is kept, and what may go wrong."""

import base64
import io
import json
import os
import subprocess
import zipfile

import pytest
import requests
from PIL import Image
from playwright.sync_api import expect

from infra.local.build import ROOT
from infra.local.demo import EXAMPLE
from tests.e2e.browser import PHONE, Visit, axe, chromium, window
from tests.e2e.leaks import PROMPT

COFFEE = ("coffee.jpg", "image/jpeg", EXAMPLE.read_bytes())
ASTRONAUT = ROOT / "infra/local/pictures/astronaut.jpg"
THREE = ("one.jpg", "two.jpg", "three.jpg")
EARLIER = 22  # more than fit on a page of the list
MEGABYTE = 10**6
UPLINK = 8 * MEGABYTE  # bytes per second
# Puts a PNG on the clipboard; the argument is its base64.
COPY = """async (content) => navigator.clipboard.write([new ClipboardItem({"image/png":
    new Blob([Uint8Array.from(atob(content), c => c.charCodeAt(0))], {type: "image/png"})})])"""


@pytest.fixture(scope="module")
def started():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def desktop(started):
    return window(started)


@pytest.fixture(scope="module")
def axe_source():
    return axe()


@pytest.fixture
def visit(stack, desktop):
    """Come to the page; what must not happen on a visit is looked for when it ends."""
    begun = []

    def visit(context=desktop):
        begun.append(Visit(context, stack))
        return begun[-1].arrive()

    yield visit
    for each in begun:
        each.close()


@pytest.fixture
def inside(visit):
    """A visit of somebody who has come in."""
    return visit().come_in()


@pytest.fixture
def setting(stack):
    """Change what a function is set to, until the test is over."""
    functions, usual = stack.client("lambda"), {}

    def setting(function, **variables):
        name = stack["functions"][function]
        before = functions.get_function_configuration(FunctionName=name)["Environment"]
        usual.setdefault(name, before)
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": before["Variables"] | variables}
        )

    yield setting
    for name, environment in usual.items():
        functions.update_function_configuration(FunctionName=name, Environment=environment)


@pytest.fixture
def held(stack):
    """Keep the worker from the queue, until told otherwise or the test is over."""
    functions = stack.client("lambda")
    (mapping,) = functions.list_event_source_mappings(FunctionName=stack["functions"]["ProcessJobsFunction"])[
        "EventSourceMappings"
    ]

    def let_go():
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    yield let_go
    let_go()


def drawn():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    return buffer.getvalue()


def size_of(content):
    with Image.open(io.BytesIO(content)) as picture:
        return picture.size


def noise(megabytes):
    """A PNG of about so many megabytes, which nothing can compress."""
    edge = int((megabytes * MEGABYTE / 3) ** 0.5)
    buffer = io.BytesIO()
    Image.merge("RGB", [Image.effect_noise((edge, edge), 120) for _ in range(3)]).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_that_is_dropped_becomes_variations_that_can_be_downloaded(stack, inside):
    states = inside.states()
    inside.drop(COFFEE)
    inside.page.get_by_label("What to change").fill(PROMPT)
    inside.make(n=2)
    job = inside.ended("coffee.jpg")

    one = inside.saved(job.get_by_role("button", name="Download variation 2").click, "coffee-variation-2.png")
    every = inside.saved(job.get_by_role("button", name="Download all").click, "coffee-variations.zip")

    assert states()[0] == "Sending"
    assert states()[-1] == "Done"
    assert size_of(one) == (256, 256)
    with zipfile.ZipFile(io.BytesIO(every)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["coffee-variation-1.png", "coffee-variation-2.png"]
        assert archive.read("coffee-variation-2.png") == one
    assert [(call["n"], call["size"]) for call in stack.calls()] == [(2, "256x256")]


def test_pictures_are_pasted_and_chosen_and_all_of_them_are_varied_at_once(stack, inside):
    page = inside.page
    page.evaluate(COPY, base64.b64encode(drawn()).decode())
    page.keyboard.press("Control+v")
    inside.choose(ASTRONAUT, EXAMPLE)
    page.get_by_role("button", name="Remove coffee.jpg").click()
    expect(page.get_by_label("Your pictures").get_by_role("listitem")).to_have_count(2)

    inside.make()

    inside.ended("image.png")
    inside.ended("astronaut.jpg")
    assert len(stack.calls()) == 2


def test_a_large_picture_goes_up_by_a_form_while_its_progress_is_shown(inside, tmp_path):
    large = tmp_path / "large.png"
    large.write_bytes(noise(10))
    assert large.stat().st_size > 8 * MEGABYTE
    line = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": UPLINK}
    inside.context.new_cdp_session(inside.page).send("Network.emulateNetworkConditions", line)
    states = inside.states()
    inside.choose(large)

    inside.make()

    expect(inside.job("large.png").get_by_role("progressbar")).to_be_visible()
    inside.ended("large.png")
    shares = [int(state.split()[1]) for state in states() if state.startswith("Uploading")]
    assert len(shares) > 4
    assert shares == sorted(shares)
    expect(inside.job("large.png").get_by_role("progressbar")).to_be_hidden()


def test_the_states_of_a_job_are_shown_as_they_come(stack, inside, held):
    states = inside.states()
    inside.drop(COFFEE)
    inside.make()
    expect(inside.job("coffee.jpg").get_by_text("Waiting for its turn")).to_be_visible()
    stack.fault(latency_seconds=1.5)

    held()

    inside.ended("coffee.jpg")
    assert states() == ["Sending", "Waiting for its turn", "Making variations", "Done"]


def test_the_original_and_a_variation_are_compared_by_mouse_and_by_keys(inside):
    page = inside.page
    inside.drop(COFFEE)
    inside.make(n=2)
    job = inside.ended("coffee.jpg")
    job.get_by_role("button", name="Enlarge variation 1").click()
    viewer = page.get_by_role("dialog", name="coffee.jpg · 1 of 2")

    viewer.get_by_role("button", name="Compare").click()
    edge = viewer.get_by_role("slider")
    expect(edge).to_be_focused()
    expect(viewer.get_by_alt_text("The original")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(edge).to_have_value("51")
    page.keyboard.press("Home")
    expect(edge).to_have_value("0")

    frame = viewer.get_by_role("figure").bounding_box()
    middle = frame["y"] + frame["height"] / 2
    page.mouse.move(frame["x"] + 0.2 * frame["width"], middle)
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.75 * frame["width"], middle, steps=5)
    page.mouse.up()
    page.mouse.move(frame["x"] + 0.1 * frame["width"], middle)  # let go, so this moves nothing
    expect(edge).to_have_value("75")

    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()
    expect(job.get_by_role("button", name="Enlarge variation 1")).to_be_focused()


def test_a_variation_becomes_the_picture_that_more_is_made_of(stack, inside):
    inside.drop(COFFEE)
    inside.make()
    job = inside.ended("coffee.jpg")
    made = inside.saved(job.get_by_role("button", name="Download variation 1").click)

    job.get_by_role("button", name="More like this: variation 1").click()
    expect(inside.page.get_by_role("button", name="Make 1 variation")).to_be_focused()
    inside.page.keyboard.press("Enter")

    inside.ended("coffee-variation-1.png")
    assert size_of(made) == (256, 256)
    assert stack.calls()[-1]["bytes"] == len(made)


def test_the_curl_call_that_is_copied_does_the_same_when_it_is_run(stack, inside):
    page = inside.page
    inside.drop(COFFEE)
    page.get_by_label("What to change").fill(f'it\'s "quoted", $HOME and `id`; {PROMPT}')
    inside.make(n=2)
    inside.ended("coffee.jpg").get_by_role("button", name="Copy curl").click()
    copied = page.evaluate("navigator.clipboard.readText()")

    run = ["bash", "-c", f"{copied} --silent --show-error --fail"]
    environment = {"PATH": os.environ["PATH"], "STUDIO_KEY": stack["api_key"]}
    ended = subprocess.run(run, cwd=EXAMPLE.parent, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert len(json.loads(ended.stdout)["data"]) == 2
    assert stack["api_key"] not in copied
    by_page, by_curl = stack.calls()
    assert by_page == by_curl


def test_earlier_jobs_are_listed_page_by_page_and_can_be_opened(stack, inside):
    page, key = inside.page, {"Authorization": f"Bearer {stack['api_key']}"}
    names = [f"earlier-{number}.png" for number in range(EARLIER)]
    for name in names:  # forms that nobody sends: jobs without work
        form = {"filename": name, "content_type": "image/png"}
        requests.post(f"{stack['api_url']}/uploads", json=form, headers=key, timeout=30).raise_for_status()
    inside.drop(COFFEE)
    page.get_by_label("What to change").fill(PROMPT)
    inside.make()
    inside.ended("coffee.jpg")

    page.reload()

    rows = page.get_by_role("region", name="Earlier").get_by_role("listitem")
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text(PROMPT)
    page.get_by_role("button", name="Show more").click()
    expect(rows.filter(has_text=names[0])).to_be_visible()
    listed = [text.split("\n")[0] for text in rows.all_inner_texts()]
    assert listed[1 : EARLIER + 1] == names[::-1]

    rows.first.click()
    job = inside.ended("Earlier picture")
    assert size_of(inside.saved(job.get_by_role("button", name="Download variation 1").click)) == (256, 256)


def test_signing_out_forgets_the_key_and_what_was_made_with_it(stack, inside):
    page = inside.page
    inside.drop(COFFEE)
    page.get_by_label("What to change").fill(PROMPT)
    inside.make()
    inside.ended("coffee.jpg")
    assert stack["api_key"] not in inside.addresses()

    page.get_by_role("button", name="Sign out").click()

    expect(page.get_by_label("Your access key")).to_have_value("")
    assert stack["api_key"] not in inside.remembered()
    assert page.content().count("coffee") == 0
    page.reload()
    expect(page.get_by_label("Your access key")).to_be_visible()
    inside.come_in()
    expect(page.get_by_label("What to change")).to_have_value("")
    expect(inside.page.get_by_role("article")).to_have_count(0)


def test_a_reload_keeps_the_key_and_a_new_tab_does_not(inside):
    inside.page.reload()
    expect(inside.page.get_by_role("button", name="Sign out")).to_be_visible()

    other = inside.context.new_page()
    other.goto(inside.stack["studio_url"])

    expect(other.get_by_label("Your access key")).to_be_visible()
    other.close()


def test_a_wrong_key_does_not_come_in_and_is_not_kept(visit):
    visit = visit()
    visit.tolerate("status of 401")

    visit.show("sk-wrong")

    expect(visit.page.get_by_role("alert").filter(has_text="does not open the Studio")).to_be_visible()
    expect(visit.page.get_by_label("Your access key")).to_be_focused()
    assert "sk-wrong" not in visit.remembered()
    visit.come_in()


def test_a_key_that_is_withdrawn_leads_back_to_the_door(stack, inside):
    inside.tolerate("status of 401")
    inside.page.evaluate("sessionStorage.setItem('studio-key', 'sk-outdated')")
    inside.drop(COFFEE)

    inside.make()

    expect(inside.page.get_by_label("Your access key")).to_be_visible()
    expect(inside.page.get_by_role("alert").filter(has_text="does not work any more")).to_be_visible()
    assert "sk-outdated" not in inside.remembered()


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"body": "garbage"}, "broke down"),
        (
            {"status": 400, "code": "moderation_blocked", "message": "Otters are not allowed."},
            "Otters are not allowed.",
        ),
    ],
    ids=["it breaks", "it declines"],
)
def test_what_the_provider_does_wrong_is_told_and_can_be_tried_again(stack, inside, faults, words):
    stack.fault(**faults)
    inside.drop(COFFEE)
    inside.make()
    job = inside.ended("coffee.jpg", "Did not work")
    expect(job).to_contain_text(words)
    stack.fault()

    job.get_by_role("button", name="Try again").click()

    inside.ended("coffee.jpg")
    expect(job).not_to_contain_text(words)


def test_what_is_no_picture_is_told_before_or_after_it_is_sent(inside):
    inside.drop(("notes.txt", "text/plain", b"These are words."))
    expect(inside.page.get_by_role("status").filter(has_text="notes.txt: not a picture")).to_be_visible()
    expect(inside.page.get_by_label("Your pictures").get_by_role("listitem")).to_have_count(0)

    inside.tolerate("status of 415")
    inside.drop(("words.png", "image/png", b"These are words too."))
    inside.make()

    expect(inside.ended("words.png", "Did not work")).to_contain_text("cannot be read as a picture")


def test_a_picture_that_is_too_large_is_told(inside, setting):
    setting("ProcessJobsFunction", MAX_SOURCE_BYTES="50000")
    inside.drop(COFFEE)
    inside.make()

    expect(inside.ended("coffee.jpg", "Did not work")).to_contain_text("This picture is too large")


def test_whoever_is_too_quick_waits_and_is_served(inside, setting):
    inside.tolerate("status of 429", "status of 502")  # the emulator restarts a function under what it answers
    inside.page.clock.install()
    setting("CreateVariationsFunction", REQUESTS_PER_MINUTE="1")
    inside.drop(*((name, *COFFEE[1:]) for name in THREE))  # two of which fall into one minute
    inside.make()
    expect(inside.page.get_by_text("In line").first).to_be_visible()
    expect(inside.page.get_by_text("Done").first).to_be_visible()

    setting("CreateVariationsFunction", REQUESTS_PER_MINUTE="0")
    inside.page.clock.fast_forward(60_000)

    for name in THREE:
        inside.ended(name)


def test_who_goes_offline_is_told_and_goes_on_afterwards(stack, inside):
    inside.tolerate("net::ERR_INTERNET_DISCONNECTED")
    stack.fault(latency_seconds=1)
    inside.drop(COFFEE)
    inside.make()
    expect(inside.job("coffee.jpg").get_by_text("Making variations")).to_be_visible()

    inside.context.set_offline(True)
    told = inside.page.get_by_role("status").filter(has_text="Offline. The Studio goes on")
    expect(told).to_be_visible()
    inside.drop(("later.jpg", "image/jpeg", COFFEE[2]))
    inside.page.get_by_role("button", name="Remove coffee.jpg").click()
    inside.make()
    later = inside.ended("later.jpg", "Did not work")
    expect(later).to_contain_text("You seem to be offline")

    inside.context.set_offline(False)
    expect(told).to_be_hidden()
    inside.ended("coffee.jpg")
    later.get_by_role("button", name="Try again").click()
    inside.ended("later.jpg")
    assert len(stack.calls()) == 2


def test_everything_can_be_done_with_the_keyboard_alone(visit):
    visit = visit()
    page, press = visit.page, visit.page.keyboard.press
    expect(page.get_by_label("Your access key")).to_be_focused()
    page.keyboard.type(visit.stack["api_key"])
    press("Enter")
    expect(page.get_by_role("main")).to_be_focused()

    visit.tab_to(page.locator("input[type=file]"))
    with page.expect_file_chooser() as asked:
        press("Enter")
    asked.value.set_files(EXAMPLE)
    visit.tab_to(page.get_by_label("How many variations"))
    page.keyboard.type("2")
    visit.tab_to(page.locator("summary", has_text="Finer choices"))
    press("Enter")
    visit.tab_to(page.get_by_label("Size", exact=True))
    press("ArrowDown")
    visit.tab_to(page.get_by_role("button", name="Make 2 variations"))
    press("Enter")
    job = visit.ended("coffee.jpg")

    visit.tab_to(job.get_by_role("button", name="Enlarge variation 1"))
    press("Enter")
    visit.tab_to(page.get_by_role("dialog").get_by_role("button", name="Compare"))
    press("Enter")
    press("End")
    expect(page.get_by_role("slider")).to_have_value("100")
    press("Escape")
    visit.tab_to(job.get_by_role("button", name="Download variation 2"))
    saved = visit.saved(lambda: press("Enter"))

    assert size_of(saved) == (256, 256)


def test_a_phone_has_all_of_it_within_a_thumbs_reach(started, visit):
    phone = window(started, viewport=PHONE, is_mobile=True, has_touch=True, device_scale_factor=3)
    visit = visit(phone).come_in()
    page = visit.page
    with page.expect_file_chooser() as asked:
        page.get_by_text("Add a picture").tap()
    asked.value.set_files([EXAMPLE])
    visit.make(n=2)
    job = visit.ended("coffee.jpg")

    job.get_by_role("button", name="Enlarge variation 1").tap()
    viewer = page.get_by_role("dialog")
    viewer.get_by_role("button", name="Compare").tap()
    frame = viewer.get_by_role("figure").bounding_box()
    page.touchscreen.tap(frame["x"] + 0.25 * frame["width"], frame["y"] + frame["height"] / 2)
    expect(viewer.get_by_role("slider")).to_have_value("25")
    saved = visit.saved(viewer.get_by_role("button", name="Download").tap, "coffee-variation-1.png")

    assert size_of(saved) == (256, 256)
    assert visit.too_wide() == []


def test_every_state_of_the_page_can_be_read_by_everybody(stack, visit, axe_source, held):
    visit = visit()
    page, found = visit.page, {}

    def check(state):
        if problems := visit.accessible(axe_source):
            found[state] = problems

    visit.tolerate("status of 401")
    visit.show("sk-wrong")
    expect(page.get_by_role("alert").filter(has_text="does not open the Studio")).to_be_visible()
    check("the door")
    visit.come_in()
    check("an empty desk")
    visit.drop(COFFEE)
    visit.make(n=2)
    check("work")
    held()
    job = visit.ended("coffee.jpg")
    check("results")
    tile = job.get_by_role("button", name="Enlarge variation 1")
    tile.focus()
    check("results with their tools")
    tile.click()
    check("a large picture")
    page.get_by_role("dialog").get_by_role("button", name="Compare").click()
    check("a comparison")
    page.keyboard.press("Escape")
    stack.fault(status=401)
    visit.make(n=2)
    expect(page.get_by_role("article").get_by_text("Did not work", exact=True)).to_be_visible()
    check("an error")

    assert found == {}
