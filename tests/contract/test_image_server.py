"""The development image server behaves like an OpenAI-compatible provider, well or, when told so, badly."""

import base64
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import requests
from PIL import Image

from infra.local.image_server import create_app, create_server

KEY = {"Authorization": "Bearer sk-local"}
HOUR = 3600


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Server:
    """A running server with the few calls that the tests make of it."""

    def __init__(self, url):
        self.url = url

    def get(self, path, headers=KEY):
        return requests.get(self.url + path, headers=headers, timeout=30)

    def post(self, path, *, image=None, files=None, headers=KEY, **fields):
        files = files or [("image", ("cat.png", image or PICTURE, "image/png"))]
        return requests.post(self.url + path, headers=headers, files=files, data=fields, timeout=30)

    def edit(self, **fields):
        return self.post("/v1/images/edits", **{"prompt": "Vary it.", "size": "256x256", **fields})

    def vary(self, **fields):
        return self.post("/v1/images/variations", **{"size": "256x256", **fields})

    def switch(self, **switches):
        answer = requests.put(f"{self.url}/_faults", json=switches, timeout=30)
        assert answer.status_code == 204

    def clear(self):
        requests.delete(f"{self.url}/_faults", timeout=30)
        requests.delete(f"{self.url}/_calls", timeout=30)

    def calls(self):
        return self.get("/_calls", headers={}).json()


def draw_picture(width=120, height=80, file_format="PNG"):
    ramp = np.add.outer(np.arange(height), np.arange(width)) % 256
    buffer = io.BytesIO()
    Image.fromarray(np.stack([ramp, 255 - ramp, ramp // 2], axis=2).astype(np.uint8)).save(buffer, file_format)
    return buffer.getvalue()


PICTURE = draw_picture()


def decode(content):
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def pictures_in(answer):
    return [decode(base64.b64decode(entry["b64_json"])) for entry in answer.json()["data"]]


def error_in(answer, status=400):
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return error


@pytest.fixture(scope="session", name="clock")
def _clock():
    return Clock()


@pytest.fixture(scope="session", name="running")
def _running(clock):
    server = create_server(create_app(ttl_seconds=HOUR, clock=clock))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Server(f"http://127.0.0.1:{server.port}")
    server.shutdown()
    thread.join()


@pytest.fixture(name="server")
def _server(running):
    running.clear()
    yield running
    running.clear()


@pytest.fixture(name="quick")
def _quick(server):
    """The server without its neural network, for tests that look at anything but the pictures."""
    server.switch(fast=True)
    return server


# Models, keys, routes


def test_models_are_listed_with_one_that_makes_no_pictures(server):
    answer = server.get("/v1/models").json()

    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["local-style-transfer", "local-text-only"]
    assert all(model.keys() == {"id", "object", "created", "owned_by"} for model in answer["data"])


def test_one_model_is_shown_by_its_id(server):
    model = server.get("/v1/models/local-style-transfer").json()

    assert (model["object"], model["owned_by"]) == ("model", "local")


def test_an_unknown_model_is_not_found(server):
    error = error_in(server.get("/v1/models/gpt-9"), 404)

    assert error["message"] == "The model 'gpt-9' does not exist."
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "Basic c2s="}, {"Authorization": "é"}],
)
def test_everything_below_v1_demands_the_key(server, headers):
    answers = [server.get("/v1/models", headers=headers), server.edit(headers=headers)]

    assert {error_in(answer, 401)["code"] for answer in answers} == {"invalid_api_key"}


def test_health_needs_no_key(server):
    assert server.get("/health", headers={}).json() == {"status": "ok"}


def test_unknown_routes_and_methods_get_an_error_envelope(server):
    assert error_in(server.get("/v1/audio"), 404)["type"] == "invalid_request_error"
    assert error_in(server.get("/v1/images/edits"), 405)["type"] == "invalid_request_error"


def test_every_answer_carries_a_request_id_and_its_duration(server):
    answers = [server.get("/v1/models"), server.get("/v1/nothing"), server.get("/health")]

    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(answer.headers["openai-processing-ms"].isdigit() for answer in answers)


# Edits


def test_edits_answer_in_base64_with_usage_as_gpt_image_models_do(server):
    answer = server.edit(n=2, model="local-style-transfer", quality="standard", user="ada", background="auto")

    body = answer.json()
    assert [picture.size for picture in pictures_in(answer)] == [(256, 256)] * 2
    assert (body["size"], body["quality"], body["output_format"]) == ("256x256", "medium", "png")
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def test_edits_give_different_pictures_and_the_same_ones_when_asked_again(server):
    first, again = server.edit(n=3), server.edit(n=3)

    assert first.json()["data"] == again.json()["data"]
    pixels = [np.asarray(picture, float) for picture in pictures_in(first)]
    assert all(np.abs(one - other).mean() > 5 for one, other in combinations(pixels, 2))


@pytest.mark.parametrize("changes", [{"seed": "7"}, {"prompt": "Bluer."}, {"image": draw_picture(80, 120)}])
def test_a_seed_a_prompt_or_a_picture_changes_the_result(quick, changes):
    assert quick.edit().json()["data"] != quick.edit(**changes).json()["data"]


def test_edits_reject_response_format_as_gpt_image_models_do(server):
    error = error_in(server.edit(response_format="b64_json"))

    assert error["message"] == "Unknown parameter: 'response_format'."
    assert (error["code"], error["param"]) == ("unknown_parameter", "response_format")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"style": "vivid"}, "style", "unknown_parameter"),
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"n": "0"}, "n", "integer_below_min_value"),
        ({"n": "11"}, "n", "integer_above_max_value"),
        ({"n": "two"}, "n", "invalid_type"),
        ({"seed": "1.5"}, "seed", "invalid_type"),
        ({"size": "300x300"}, "size", "invalid_value"),
        ({"size": "0x0"}, "size", "invalid_value"),
        ({"size": "2064x1024"}, "size", "invalid_value"),
        ({"size": "1024x256"}, "size", "invalid_value"),
        ({"size": "large"}, "size", "invalid_value"),
        ({"quality": "hd"}, "quality", "invalid_value"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"background": "blue"}, "background", "invalid_value"),
        ({"model": "dall-e-2"}, "model", "model_not_found"),
        ({"model": "local-text-only"}, "model", "invalid_value"),
    ],
)
def test_edits_name_the_parameter_that_is_wrong(server, fields, param, code):
    error = error_in(server.edit(**fields))

    assert (error["param"], error["code"]) == (param, code)
    assert server.calls()["paid"] == 0


@pytest.mark.parametrize(("source", "size"), [((600, 400), "608x400"), ((90, 30), "256x96"), ((4000, 100), "2048x688")])
def test_size_auto_follows_the_source_within_the_limits(quick, source, size):
    answer = quick.edit(image=draw_picture(*source), size="auto")

    assert answer.json()["size"] == size
    assert "{}x{}".format(*pictures_in(answer)[0].size) == size


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_edits_come_in_the_output_format_asked_for(quick, output_format):
    (picture,) = pictures_in(quick.edit(output_format=output_format))

    assert picture.format.lower() == output_format


def test_transparency_is_kept_unless_an_opaque_background_is_asked_for(server):
    buffer = io.BytesIO()
    Image.new("RGBA", (64, 64), (200, 30, 30, 0)).save(buffer, "PNG")

    kept = pictures_in(server.edit(image=buffer.getvalue()))
    opaque = pictures_in(server.edit(image=buffer.getvalue(), background="opaque"))

    assert [picture.mode for picture in kept + opaque] == ["RGBA", "RGB"]


def test_several_sources_are_sent_as_an_array(quick):
    part = ("cat.png", PICTURE, "image/png")

    assert quick.edit(files=[("image[]", part), ("image[]", part)]).status_code == 200
    assert error_in(quick.edit(files=[("image", part), ("image", part)]))["code"] == "duplicate_parameter"
    assert error_in(quick.edit(files=[("image[]", part)] * 17))["code"] == "array_above_max_length"


# Variations


def test_variations_answer_with_urls_by_default(server):
    answer = server.vary(n=2).json()

    downloads = [requests.get(entry["url"], timeout=30) for entry in answer["data"]]
    assert [decode(download.content).size for download in downloads] == [(256, 256)] * 2
    assert {download.headers["Content-Type"] for download in downloads} == {"image/png"}


def test_result_urls_expire(quick, clock):
    url = quick.vary().json()["data"][0]["url"]
    assert requests.get(url, timeout=30).status_code == 200

    clock.now += HOUR + 1

    error_in(requests.get(url, timeout=30), 404)


def test_variations_answer_in_base64_when_asked(quick):
    (picture,) = pictures_in(quick.vary(response_format="b64_json", size="512x512"))

    assert picture.size == (512, 512)


def test_variations_are_a_kilopixel_square_by_default(quick):
    answer = quick.post("/v1/images/variations", response_format="b64_json")

    assert pictures_in(answer)[0].size == (1024, 1024)


def test_variations_ignore_parameters_they_do_not_know(quick):
    assert quick.vary(prompt="Bluer.", quality="hd", style="vivid").status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "1024x1536"}, "size"),
        ({"response_format": "png"}, "response_format"),
        ({"n": "11"}, "n"),
        ({"model": "local-text-only"}, "model"),
    ],
)
def test_variations_name_the_parameter_that_is_wrong(server, fields, param):
    assert error_in(server.vary(**fields))["param"] == param


# Sources


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_png_jpeg_and_webp_are_taken(quick, file_format):
    part = ("cat", draw_picture(file_format=file_format), f"image/{file_format.lower()}")

    assert quick.edit(files=[("image", part)]).status_code == 200


def test_the_content_type_of_the_part_counts_as_at_openai(server):
    answer = server.edit(files=[("image", ("upload", PICTURE, "application/octet-stream"))])

    assert "unsupported mimetype ('application/octet-stream')" in error_in(answer)["message"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<svg/>", id="not an image"),
        pytest.param(PICTURE[: len(PICTURE) // 2], id="truncated"),
        pytest.param(draw_picture(file_format="GIF"), id="gif under a png name"),
    ],
)
def test_bytes_that_are_no_picture_are_refused(server, content):
    error = error_in(server.edit(files=[("image", ("cat.png", content, "image/png"))]))

    assert error["code"] == "invalid_image_file"


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(server):
    buffer = io.BytesIO()
    Image.new("1", (8000, 7000)).save(buffer, "PNG")

    assert error_in(server.edit(image=buffer.getvalue()))["code"] == "invalid_image_file"


def test_sources_are_turned_upright(quick):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn a quarter clockwise
    buffer = io.BytesIO()
    Image.new("RGB", (640, 320)).save(buffer, "JPEG", exif=exif)

    answer = quick.edit(files=[("image", ("cat.jpg", buffer.getvalue(), "image/jpeg"))], size="auto")

    assert answer.json()["size"] == "320x640"


def test_a_call_without_a_picture_is_refused(server):
    answer = requests.post(f"{server.url}/v1/images/edits", headers=KEY, data={"prompt": "x"}, timeout=30)

    assert error_in(answer)["code"] == "missing_required_parameter"


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([("image", ("big.png", bytes(53 * 1024**2), "image/png"))], id="body"),
        pytest.param([("image[]", ("cat.png", PICTURE, "image/png"))] * 65, id="parts"),
    ],
)
def test_calls_beyond_the_limits_are_refused(server, files):
    assert error_in(server.edit(files=files), 413)["code"] == "request_too_large"


# The record of calls


def test_calls_are_recorded_with_what_was_sent(quick):
    quick.edit(n=2, seed=7, model="local-style-transfer")
    record = quick.calls()

    (call,) = record["calls"]
    assert (record["paid"], record["images"]) == (1, 2)
    assert call == {
        "path": "/v1/images/edits",
        "model": "local-style-transfer",
        "n": 2,
        "size": "256x256",
        "fields": {
            "prompt": "Vary it.",
            "n": "2",
            "seed": "7",
            "model": "local-style-transfer",
            "size": "256x256",
            "image": "cat.png",
        },
        "content_type": "image/png",
        "bytes": len(PICTURE),
        "outcome": "ok",
    }


def test_refused_calls_are_recorded_but_not_paid(server):
    server.edit(style="vivid")
    server.edit(headers={})
    record = server.calls()

    assert [call["outcome"] for call in record["calls"]] == ["unknown_parameter", "invalid_api_key"]
    assert (record["paid"], record["images"]) == (0, 0)


def test_the_record_can_be_cleared(quick):
    quick.edit()
    requests.delete(f"{quick.url}/_calls", timeout=30)

    assert quick.calls() == {"paid": 0, "images": 0, "calls": []}


# Faults


def test_a_status_is_answered_instead_of_pictures_a_number_of_times(server):
    server.switch(fast=True, times=2, status=429, headers={"Retry-After": "2"}, message="Slow down.")
    answers = [server.edit() for _ in range(3)]

    error = error_in(answers[0], 429)
    assert (error["code"], error["message"]) == ("rate_limit_exceeded", "Slow down.")
    assert answers[0].headers["Retry-After"] == "2"
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert server.calls()["paid"] == 1


def test_every_nth_call_can_be_disturbed(server):
    server.switch(fast=True, every=3, status=500)

    assert [server.edit().status_code for _ in range(6)] == [200, 200, 500, 200, 200, 500]


def test_faults_spare_the_model_list_unless_its_path_is_named(server):
    server.switch(status=503)
    assert server.get("/v1/models").status_code == 200

    server.switch(status=503, path="/v1/models")
    assert server.get("/v1/models").status_code == 503


def test_the_error_of_a_status_can_be_chosen(server):
    server.switch(status=400, code="moderation_blocked", type="image_generation_user_error")
    error = error_in(server.edit())

    assert (error["code"], error["type"]) == ("moderation_blocked", "image_generation_user_error")


def test_a_truncated_answer_has_an_honest_length(server):
    server.switch(fast=True, body="truncated")
    answer = server.edit()

    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


def test_a_cut_answer_ends_before_its_length(server):
    server.switch(fast=True, body="cut")

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        server.edit()


@pytest.mark.parametrize("body", ["garbage", "html", "empty"])
def test_an_answer_can_be_anything_but_json(server, body):
    server.switch(fast=True, body=body)
    answer = server.edit()

    assert answer.status_code == 200
    assert ("html" in answer.headers["Content-Type"]) is (body == "html")
    assert (answer.content == b"") is (body == "empty")
    with pytest.raises(ValueError):  # noqa: PT011 - JSON or Unicode, both are values nobody can read
        answer.json()


def test_a_proxy_s_page_can_come_with_its_status(server):
    server.switch(status=502, body="html")
    answer = server.edit()

    assert answer.status_code == 502
    assert b"Bad Gateway" in answer.content


def test_an_error_can_hide_under_status_200(server):
    server.switch(fast=True, body="error_in_200", message="No capacity.")

    assert error_in(server.edit(), 200)["message"] == "No capacity."


def test_text_can_stand_where_a_picture_should_be(server):
    server.switch(fast=True, body="not_an_image")
    (entry,) = server.edit().json()["data"]
    (link,) = server.vary().json()["data"]

    assert base64.b64decode(entry["b64_json"]).startswith(b"This is not")
    assert requests.get(link["url"], timeout=30).headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(("body", "left"), [("no_data", 0), ("fewer", 2)])
def test_pictures_can_be_missing_though_they_were_paid_for(server, body, left):
    server.switch(fast=True, body=body)

    assert len(server.edit(n=3).json()["data"]) == left
    record = server.calls()
    assert (record["paid"], record["images"]) == (1, 3)
    assert record["calls"][0]["outcome"] == body


def test_a_dripping_answer_is_complete_in_the_end(server):
    server.switch(fast=True, body="drip", latency_seconds=0.1)

    assert len(pictures_in(server.edit(n=2))) == 2


def test_a_slow_call_delays_no_other(server):
    server.switch(fast=True, times=1, latency_seconds=600)
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{server.url}/v1/images/edits",
            headers=KEY,
            files={"image": ("cat.png", PICTURE, "image/png")},
            data={"prompt": "Vary it.", "size": "256x256"},
            timeout=0.5,
        )

    assert server.edit().status_code == 200
    assert server.calls()["paid"] == 2


@pytest.mark.parametrize("switches", [{"sttus": 429}, {"body": "soup"}, {"every": 0}, [], "text"])
def test_switches_that_do_not_exist_are_refused(server, switches):
    error_in(requests.put(f"{server.url}/_faults", json=switches, timeout=30))


def test_cleared_switches_disturb_nothing(server):
    server.switch(status=500)
    requests.delete(f"{server.url}/_faults", timeout=30)

    assert server.edit().status_code == 200


def test_parallel_calls_are_all_answered_and_counted(server):
    server.switch(fast=True, every=4, status=429)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda seed: server.edit(seed=seed).status_code, range(80)))

    assert (statuses.count(200), statuses.count(429)) == (60, 20)
    record = server.calls()
    assert (record["paid"], record["images"], len(record["calls"])) == (60, 60, 80)


def test_parallel_calls_of_the_network_do_not_mix_up_their_pictures(server):
    alone = [server.edit(seed=seed).json()["data"] for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: server.edit(seed=seed).json()["data"], range(4)))

    assert together == alone


# The process


@pytest.fixture(name="process")
def _process():
    command = [sys.executable, "-m", "infra.local.image_server", "--port", "0", "--key", "sk-local"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_sigterm_ends_the_process_cleanly_even_during_calls(process):
    line = process.stdout.readline()
    url = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/v1\n", line)[1]
    server = Server(url)
    server.switch(latency_seconds=600, times=1, fast=True)

    def edit(**fields):
        with contextlib.suppress(requests.ConnectionError):  # the server may go before it has answered
            server.edit(**fields)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(edit)
        while server.calls()["images"] < 1:
            pass
        requests.put(f"{url}/_faults", json={}, timeout=30)
        pool.submit(edit, n=10)
        while server.calls()["paid"] < 2:
            pass
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == 0
    assert "Traceback" not in process.stderr.read()
