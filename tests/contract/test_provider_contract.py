"""The provider client over loopback: a whole provider, what arrives there, and the pictures that come back."""

import base64
import functools
import json
import threading
import time
from dataclasses import dataclass

import pytest
import requests
from botocore.exceptions import ClientError
from variations import provider as provider_module
from variations import remote_pictures
from variations.dialects import edits, edits_json, variations
from variations.dialects.call import ProviderCall
from variations.dialects.known import known_by_name
from variations.errors import (
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    StorageFailed,
)
from variations.model import VariationRequest

from infra.local.image_server import create_app, create_server
from tests.contract.scripted import (
    EMBEDDED_MODEL,
    GOOD,
    KEY,
    LONG,
    PNG,
    REFUSAL,
    SHORT,
    connect,
    draw,
    fail,
    hang,
    read_request,
    reply,
    send,
    size_of,
)

# A whole provider


@pytest.fixture(scope="module", name="server_url")
def _server_url():
    """The development image server, making pictures without its neural network."""
    server = create_server(create_app())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


@dataclass
class Embedded:
    """The development image server, and how a test looks behind it."""

    url: str

    @property
    def base_url(self):
        return f"{self.url}/v1"

    def switch(self, **switches):
        assert requests.put(f"{self.url}/_faults", json={"fast": True, **switches}, timeout=30).status_code == 204

    @property
    def record(self):
        return requests.get(f"{self.url}/_calls", timeout=30).json()


@pytest.fixture(name="embedded")
def _embedded(server_url):
    requests.delete(f"{server_url}/_calls", timeout=30)
    embedded = Embedded(server_url)
    embedded.switch()
    return embedded


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "image/webp"])
def test_edits_give_as_many_pictures_as_asked_for_and_say_the_true_type(embedded, content_type):
    request = VariationRequest(EMBEDDED_MODEL, n=3, size="320x256", quality="hd", style="vivid", user="ada")
    picture = draw(content_type)

    answer = send(connect(embedded.base_url), edits.build(request, picture, 3, 0))

    assert [size_of(image) for image in answer.images] == [(320, 256)] * 3
    assert len(set(answer.images)) == 3
    assert answer.request_id.startswith("req_")
    assert answer.usage["total_tokens"] > 0
    (call,) = embedded.record["calls"]
    assert (call["path"], call["outcome"]) == ("/v1/images/edits", "ok")
    assert (call["content_type"], call["bytes"]) == (content_type, len(picture.content))
    assert call["fields"].keys() == {"model", "prompt", "n", "size", "quality", "user", "image"}


def test_variations_give_as_many_pictures_as_asked_for(embedded):
    request = VariationRequest(EMBEDDED_MODEL, n=2, size="256x256", prompt="Bluer.", user="ada")

    answer = send(connect(embedded.base_url), variations.build(request, PNG, 2, 0))

    assert [size_of(image) for image in answer.images] == [(256, 256)] * 2
    (call,) = embedded.record["calls"]
    assert (call["path"], call["outcome"]) == ("/v1/images/variations", "ok")
    assert call["fields"].keys() == {"model", "n", "size", "response_format", "user", "image"}


def test_pictures_that_are_answered_as_urls_of_the_provider_are_fetched(embedded):
    call = ProviderCall("images/variations", {"size": "256x256", "n": "2", "response_format": "url"}, 2, 0, PNG)

    answer = send(connect(embedded.base_url), call)

    assert [size_of(image) for image in answer.images] == [(256, 256)] * 2


def test_the_neural_network_makes_pictures_for_the_client_too(embedded):
    embedded.switch(fast=False)

    answer = send(connect(embedded.base_url), edits.build(VariationRequest(EMBEDDED_MODEL, size="256x256"), PNG, 1, 0))

    assert [size_of(image) for image in answer.images] == [(256, 256)]


def test_the_models_of_the_provider_are_listed(embedded):
    provider = connect(embedded.base_url)

    listing = provider.list_models(deadline=time.monotonic() + LONG)

    assert listing.family is None
    assert {model.id: model.image for model in listing.models} == {EMBEDDED_MODEL: True, "local-text-only": None}


@pytest.mark.parametrize(
    ("switches", "error", "retryable", "paid"),
    [
        ({"status": 429, "headers": {"Retry-After": "7"}}, ProviderBusy, True, 0),
        ({"status": 500}, ProviderFailed, True, 0),
        ({"status": 502}, ProviderFailed, False, 0),
        ({"status": 400, "code": "moderation_blocked"}, ProviderRefused, False, 0),
        ({"status": 404}, ModelNotFound, False, 0),
        ({"body": "truncated"}, ProviderFailed, False, 1),
        ({"body": "cut"}, ProviderFailed, False, 1),
        ({"body": "garbage"}, ProviderFailed, False, 1),
        ({"body": "html"}, ProviderFailed, False, 1),
        ({"body": "empty"}, ProviderFailed, False, 1),
        ({"body": "error_in_200"}, ProviderRefused, False, 1),
        ({"body": "no_data"}, ProviderRefused, False, 1),
        ({"body": "drip", "latency_seconds": 5}, ProviderTimeout, False, 1),
        ({"latency_seconds": 5}, ProviderTimeout, False, 1),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
)
def test_a_provider_that_misbehaves_is_called_once(embedded, switches, error, retryable, paid):
    embedded.switch(times=1, **switches)

    failure = fail(connect(embedded.base_url), seconds=2 if "latency_seconds" in switches else LONG)

    assert (type(failure), failure.retryable) == (error, retryable)
    record = embedded.record
    assert (len(record["calls"]), record["paid"]) == (1, paid)


@pytest.mark.parametrize("body", ["fewer", "not_an_image"])
def test_what_the_pictures_are_worth_is_for_others_to_judge(embedded, body):
    embedded.switch(body=body)

    answer = send(connect(embedded.base_url))

    assert len(answer.images) == (1 if body == "fewer" else 2)


def test_a_key_the_provider_does_not_know_is_denied(embedded):
    failure = fail(connect(embedded.base_url, "sk-wrong"))

    assert type(failure) is ProviderDenied
    assert embedded.record["paid"] == 0


# What arrives


def test_the_call_arrives_as_multipart_with_the_right_names_and_the_true_type(scripted):
    scripted.answer(reply(body=GOOD, x_request_id="req_1"))
    picture = draw("image/webp")
    call = ProviderCall(
        "images/edits", {"model": "m", "prompt": 'Ünder "quotes"\r\nand lines', "n": "2"}, 2, 0, picture
    )

    answer = send(connect(scripted.base_url), call)

    assert (answer.images, answer.request_id) == ((PNG.content,), "req_1")
    (request,) = scripted.requests
    assert (request.method, request.path) == ("POST", "/v1/images/edits")
    assert request.headers["Authorization"] == "Bearer sk-local"
    assert request.headers["User-Agent"] == "image-variations"
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert request.parts == {
        "model": (None, None, b"m"),
        "prompt": (None, None, 'Ünder "quotes"\r\nand lines'.encode()),
        "n": (None, None, b"2"),
        "image": ("source.webp", "image/webp", picture.content),
    }


@pytest.mark.parametrize(
    ("content_type", "name"), [("image/png", "source.png"), ("image/jpeg", "source.jpg"), ("image/webp", "source.webp")]
)
def test_the_file_name_fits_the_type_of_the_picture(scripted, content_type, name):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url), ProviderCall("images/edits", {}, 1, 0, draw(content_type)))

    assert scripted.requests[0].parts["image"][:2] == (name, content_type)


def test_a_call_without_a_file_arrives_as_json_with_the_picture_in_its_field(scripted):
    scripted.answer(reply(body=GOOD))
    picture = draw("image/webp")
    call = edits_json.build(VariationRequest("m", n=2, size="256x256", prompt="Ünder water."), picture, 2, 0)

    assert send(connect(scripted.base_url), call).images == (PNG.content,)

    (request,) = scripted.requests
    assert (request.method, request.path) == ("POST", "/v1/images/edits")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer sk-local"
    encoded = base64.b64encode(picture.content).decode()
    assert json.loads(request.body) == {
        "model": "m",
        "prompt": "Ünder water.",
        "size": "256x256",
        "n": 2,
        "images": [{"image_url": f"data:image/webp;base64,{encoded}"}],
    }


def test_the_picture_goes_into_the_field_that_the_call_names(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url), ProviderCall("images/edits", {"model": "m"}, 1, 0, PNG, "image[]"))

    assert scripted.requests[0].parts == {
        "model": (None, None, b"m"),
        "image[]": ("source.png", "image/png", PNG.content),
    }


def test_azure_gets_the_bare_key_in_a_header_of_its_own(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url, known=known_by_name("Azure OpenAI")))

    assert scripted.requests[0].headers["api-key"] == "sk-local"
    assert "Authorization" not in scripted.requests[0].headers


def test_a_rotated_key_goes_into_azures_header_too(scripted):
    scripted.answer(reply(401, REFUSAL), reply(body=GOOD))

    send(connect(scripted.base_url, KEY, "sk-rotated", known=known_by_name("Azure OpenAI")))

    assert [request.headers["api-key"] for request in scripted.requests] == ["sk-local", "sk-rotated"]


@pytest.mark.parametrize(
    ("tail", "calls", "lists"),
    [
        ("/openai/v1", "/openai/v1/images/edits", "/openai/v1/models"),
        (
            "/openai?api-version=2025-04-01-preview",
            "/openai/deployments/local-style-transfer/images/edits?api-version=2025-04-01-preview",
            "/openai/models?api-version=2025-04-01-preview",
        ),
        (
            "/openai/deployments/mine/?api-version=2025-04-01-preview",
            "/openai/deployments/mine/images/edits?api-version=2025-04-01-preview",
            "/openai/models?api-version=2025-04-01-preview",
        ),
    ],
)
def test_azures_older_form_has_the_model_in_the_path_and_a_version_behind_it(scripted, tail, calls, lists):
    scripted.answer(reply(body=GOOD), reply(body={"data": [{"id": "a", "object": "model", "status": "x"}]}))
    provider = connect(scripted.url + tail, known=known_by_name("Azure OpenAI"))

    send(provider)
    list_models(provider)

    assert [request.path for request in scripted.requests] == [calls, lists]


def test_a_model_with_a_slash_is_one_part_of_azures_path(scripted):
    scripted.answer(reply(body=GOOD))

    send(
        connect(f"{scripted.url}/openai?api-version=1", known=known_by_name("Azure OpenAI")),
        ProviderCall("images/edits", {"model": "a/b c?"}, 1, 0, PNG),
    )

    assert scripted.requests[0].path == "/openai/deployments/a%2Fb%20c%3F/images/edits?api-version=1"


def test_what_a_known_provider_wants_in_its_headers_is_sent_with_every_request(scripted):
    scripted.answer(reply(body=GOOD), reply(body={"data": [{"id": "a", "created": 1}]}))
    provider = connect(scripted.base_url, known=known_by_name("Cloudflare"))

    send(provider)
    list_models(provider)

    assert [request.headers["cf-aig-max-attempts"] for request in scripted.requests] == ["1", "1"]
    assert [request.headers["Authorization"] for request in scripted.requests] == ["Bearer sk-local"] * 2


def test_a_provider_nobody_knows_gets_no_headers_of_others(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url))

    assert {"cf-aig-max-attempts", "api-key"}.isdisjoint(name.lower() for name in scripted.requests[0].headers)


def test_a_provider_that_wants_no_key_gets_none(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url, ""))

    assert "Authorization" not in scripted.requests[0].headers


def test_a_slash_at_the_end_of_the_base_url_changes_nothing(scripted):
    scripted.answer(reply(body=GOOD))

    send(connect(f"{scripted.base_url}/"))

    assert scripted.requests[0].path == "/v1/images/edits"


def test_the_environment_changes_neither_the_key_nor_the_way(scripted, elsewhere, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login test password test\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", elsewhere.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    scripted.answer(reply(body=GOOD))

    send(connect(scripted.base_url))

    assert scripted.requests[0].headers["Authorization"] == "Bearer sk-local"
    assert elsewhere.requests == []


def test_every_call_asks_for_a_connection_of_its_own(scripted):
    scripted.answer(reply(body=GOOD), reply(body=GOOD))
    provider = connect(scripted.base_url)

    for _ in range(2):
        send(provider)

    assert scripted.connections == 2
    assert [request.headers["Connection"] for request in scripted.requests] == ["close"] * 2


def test_every_call_has_a_connection_of_its_own_even_when_the_server_would_keep_it(scripted):
    kept = reply(body=GOOD, Connection=None)

    def keep(connection):
        connection.sendall(kept)
        with connection.makefile("rb") as stream:
            if stream.peek(1):
                scripted.requests.append(read_request(stream))
                connection.sendall(kept)

    scripted.answer(keep, keep)
    provider = connect(scripted.base_url)

    for _ in range(2):
        send(provider)

    assert (len(scripted.requests), scripted.connections) == (2, 2)


# Lists of models


def list_models(provider):
    return provider.list_models(deadline=time.monotonic() + LONG)


def flags(listing):
    return {model.id: model.image for model in listing.models}


def test_a_list_of_models_is_kept_for_a_while(scripted, monkeypatch):
    scripted.answer(*[reply(body={"data": [{"id": name, "created": 1}]}) for name in ("flux-a", "flux-b")])
    provider = connect(scripted.base_url)

    assert flags(list_models(provider)) == flags(list_models(provider)) == {"flux-a": True}
    assert len(scripted.requests) == 1
    monkeypatch.setattr(provider_module, "LISTING_SECONDS", 0)
    assert flags(list_models(provider)) == {"flux-b": True}


def test_a_list_that_could_not_be_read_is_not_kept(scripted):
    scripted.answer(reply(500, b""), reply(body={"data": [{"id": "flux-a", "created": 1}]}))
    provider = connect(scripted.base_url)

    with pytest.raises(ProviderFailed):
        list_models(provider)

    assert flags(list_models(provider)) == {"flux-a": True}


def test_the_special_list_of_xai_says_more_than_the_plain_one(scripted):
    special = {
        "models": [{"id": "grok-imagine-image-2.0", "input_modalities": ["text"], "output_modalities": ["image"]}]
    }
    plain = {"data": [{"id": "grok-imagine-image-2.0", "created": 5}, {"id": "grok-5", "created": 6}]}
    scripted.answer(reply(body=special), reply(body=plain))

    listing = list_models(connect(scripted.base_url, known=known_by_name("xAI")))

    assert [request.path for request in scripted.requests] == ["/v1/image-generation-models", "/v1/models"]
    assert flags(listing) == {"grok-imagine-image-2.0": False, "grok-5": None}


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_special_list_that_is_not_served_leaves_the_plain_one(scripted, status):
    scripted.answer(reply(status, REFUSAL), reply(body={"data": [{"id": "grok-imagine-image", "created": 5}]}))

    listing = list_models(connect(scripted.base_url, known=known_by_name("xAI")))

    assert flags(listing) == {"grok-imagine-image": True}


def test_a_special_list_that_fails_is_a_list_that_fails(scripted):
    scripted.answer(reply(503, b""))

    with pytest.raises(ProviderFailed):
        list_models(connect(scripted.base_url, known=known_by_name("xAI")))


def test_localai_is_known_by_the_capabilities_that_it_tells_when_its_list_says_nothing(scripted):
    names = {"data": [{"id": "mine", "object": "model"}, {"id": "talker", "object": "model"}]}
    told = {"data": [{"id": "mine", "capabilities": ["image", "edit"]}, {"id": "talker", "capabilities": ["chat"]}]}
    scripted.answer(reply(body=names), reply(body=told))

    listing = list_models(connect(scripted.base_url))

    assert [request.path for request in scripted.requests] == ["/v1/models", "/v1/models/capabilities"]
    assert listing.family == "LocalAI"
    assert flags(listing) == {"mine": True, "talker": None}


def test_a_list_that_says_nothing_and_has_no_capabilities_is_taken_as_it_is(scripted):
    scripted.answer(reply(body={"data": [{"id": "flux-a", "object": "model"}]}), reply(404, REFUSAL))

    listing = list_models(connect(scripted.base_url))

    assert (listing.family, flags(listing)) == (None, {"flux-a": True})


def test_a_list_that_says_something_is_not_asked_for_more(scripted):
    scripted.answer(reply(body={"data": [{"id": "flux-a", "object": "model", "owned_by": "vllm"}]}))

    listing = list_models(connect(scripted.base_url))

    assert (listing.family, len(scripted.requests)) == ("vLLM-Omni", 1)


def test_a_key_that_was_rotated_is_read_again_for_the_list_too(scripted):
    scripted.answer(reply(401, REFUSAL), reply(body={"data": [{"id": "flux-a", "created": 1}]}))

    assert flags(list_models(connect(scripted.base_url, KEY, "sk-rotated"))) == {"flux-a": True}


# Keys


def test_a_key_that_was_rotated_is_read_again_and_the_call_repeated_once(scripted):
    scripted.answer(reply(401, REFUSAL), reply(body=GOOD))

    assert send(connect(scripted.base_url, KEY, "sk-rotated")).images == (PNG.content,)

    assert [request.headers["Authorization"] for request in scripted.requests] == [
        "Bearer sk-local",
        "Bearer sk-rotated",
    ]
    assert scripted.requests[0].parts == scripted.requests[1].parts


def test_a_new_key_that_the_provider_does_not_know_yet_gives_way_to_the_one_before(scripted):
    scripted.answer(reply(401, REFUSAL), reply(body=GOOD))

    assert send(connect(scripted.base_url, "sk-rotated", previous=KEY)).images == (PNG.content,)
    assert [request.headers["Authorization"] for request in scripted.requests] == [
        "Bearer sk-rotated",
        "Bearer sk-local",
    ]


def test_a_rotated_key_that_is_refused_too_is_not_tried_a_third_time(scripted):
    scripted.answer(reply(401, REFUSAL), reply(401, REFUSAL))

    failure = fail(connect(scripted.base_url, KEY, "sk-rotated", "sk-rotated-again", previous=KEY))

    assert (type(failure), failure.retryable) == (ProviderDenied, False)
    assert len(scripted.requests) == 2


def test_a_key_that_is_refused_and_was_not_rotated_is_not_tried_again(scripted):
    scripted.answer(reply(401, REFUSAL))

    assert type(fail(connect(scripted.base_url))) is ProviderDenied
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502])
@pytest.mark.parametrize("quoted", ["sk-local", "Bearer sk-local", "'sk-local'."])
def test_a_key_that_the_provider_quotes_is_masked(scripted, status, quoted):
    scripted.answer(reply(status, {"error": {"message": f"Incorrect API key provided: {quoted}", "code": "x"}}))

    failure = fail(connect(scripted.base_url))

    assert KEY not in f"{failure} {failure!r} {failure.message} {failure.param}"


def test_a_key_that_the_provider_quotes_under_status_200_is_masked(scripted):
    scripted.answer(reply(200, {"error": {"message": "Incorrect API key provided: sk-local"}}))

    assert type(fail(connect(scripted.base_url))) is ProviderRefused


def test_a_key_that_looks_like_no_other_is_masked_too(scripted):
    scripted.answer(reply(400, {"error": {"message": "Unknown token fakefakefakefake."}}))

    assert "fakefakefakefake" not in fail(connect(scripted.base_url, "fakefakefakefake")).message


def test_a_secret_that_cannot_be_read_for_a_moment_is_tried_again(scripted):
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")

    failure = fail(connect(scripted.base_url, throttled))

    assert (type(failure), failure.retryable) == (StorageFailed, True)


# Pictures by URL


@pytest.mark.parametrize("form", ["{url}/files/1.png", "/files/1.png", "../files/1.png"])
def test_a_picture_by_url_is_fetched_from_the_provider_itself(scripted, form):
    url = form.format(url=scripted.url)
    scripted.answer(reply(body={"data": [{"url": url}]}), reply(body=PNG.content, content_type="image/png"))

    answer = send(connect(f"{scripted.base_url}"))

    assert answer.images == (PNG.content,)
    assert [(request.method, request.path) for request in scripted.requests] == [
        ("POST", "/v1/images/edits"),
        ("GET", "/files/1.png"),
    ]


@pytest.mark.parametrize("form", ["{url}/1.png", "http://localhost:1/1.png", "file:///etc/hostname", "//{host}/1.png"])
def test_a_picture_on_another_host_is_not_fetched(scripted, elsewhere, form):
    url = form.format(url=elsewhere.url, host=elsewhere.url.removeprefix("http://"))
    scripted.answer(reply(body={"data": [{"url": url}]}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert (len(scripted.requests), elsewhere.connections) == (1, 0)


@pytest.fixture(name="others")
def _others(monkeypatch):
    """Other hosts than the provider: what is fetched of them, and what their names lead to."""
    asked = []

    def pretend(url, **named):
        asked.append((url, named))
        return PNG.content

    monkeypatch.setattr(remote_pictures, "fetch", pretend)
    return asked


def test_a_picture_on_another_host_is_fetched_by_the_guard_alone_which_has_no_key(scripted, others):
    url = "https://pictures.example.com/1.png?sig=x"
    scripted.answer(reply(body={"data": [{"url": url}]}))

    assert send(connect(scripted.base_url)).images == (PNG.content,)

    ((asked, named),) = others
    assert asked == url
    assert named.keys() == {"allowed_hosts", "max_bytes", "seconds"}
    assert (named["allowed_hosts"], named["max_bytes"]) == (None, 64 * 1024**2)
    assert 0 < named["seconds"] <= LONG
    assert len(scripted.requests) == 1


def test_a_picture_of_the_provider_is_fetched_with_its_key_and_never_by_the_guard(scripted, others):
    scripted.answer(reply(body={"data": [{"url": "/1.png"}]}), reply(body=PNG.content, content_type="image/png"))

    send(connect(scripted.base_url))

    assert scripted.requests[1].headers["Authorization"] == "Bearer sk-local"
    assert others == []


@pytest.mark.parametrize(
    "form",
    ["http://127.0.0.1:1/1.png", "https://127.0.0.1/1.png", "http://127.0.0.1.pictures.example.com/1.png"],
)
def test_an_address_that_only_looks_like_the_providers_does_not_get_the_key(scripted, others, form):
    scripted.answer(reply(body={"data": [{"url": form}]}))

    send(connect(scripted.base_url))

    assert ([url for url, _ in others], len(scripted.requests)) == ([form], 1)


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
)
def test_a_picture_whose_host_leads_into_a_private_network_is_not_fetched_and_not_paid_for_again(
    scripted, monkeypatch, address
):
    fetch = remote_pictures.fetch
    private = functools.partial(fetch, resolve=lambda _: ["8.8.8.8", address])
    monkeypatch.setattr(remote_pictures, "fetch", private)
    scripted.answer(reply(body={"data": [{"url": "https://pictures.example.com/1.png"}]}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert "not public" in failure.message
    assert len(scripted.requests) == 1


def test_one_picture_that_cannot_be_fetched_does_not_spoil_the_others(scripted):
    good = {"b64_json": base64.b64encode(PNG.content).decode()}
    scripted.answer(reply(body={"data": [good, {"url": "/gone.png"}, {"b64_json": "***"}, good]}), reply(404, b""))

    answer = send(connect(scripted.base_url))

    assert answer.images == (PNG.content, PNG.content)
    assert len(answer.warnings) == 2
    assert all(warning.startswith("A picture of the provider's answer cannot be read.") for warning in answer.warnings)
    assert answer.came == 4


def test_pictures_none_of_which_can_be_fetched_are_a_failure(scripted):
    scripted.answer(reply(body={"data": [{"url": "/a.png"}, {"url": "/b.png"}]}), reply(404, b""), reply(503, b""))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert [request.path for request in scripted.requests[1:]] == ["/a.png", "/b.png"]


def test_a_picture_at_an_address_that_is_none_is_not_fetched(scripted):
    scripted.answer(reply(body={"data": [{"url": "http://[not-an-address/1.png"}]}))

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(404, b""), id="404"),
        pytest.param(reply(302, b"", Location="/elsewhere.png"), id="302"),
        pytest.param(reply(429, b"", Retry_After="1"), id="429"),
        pytest.param(reply(500, b""), id="500"),
        pytest.param(reply(503, b""), id="503"),
        pytest.param(b"", id="cut"),
    ],
)
def test_a_picture_that_cannot_be_fetched_was_paid_for_all_the_same(scripted, answer):
    scripted.answer(reply(body={"data": [{"url": "/1.png"}]}), answer)

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)
    assert scripted.requests[0].method == "POST"
    assert {request.method for request in scripted.requests[1:]} == {"GET"}


def test_a_provider_that_is_gone_when_its_picture_is_fetched_was_paid_all_the_same(scripted):
    def answer_and_go(connection):
        scripted.leave()
        connection.sendall(reply(body={"data": [{"url": "/1.png"}]}))

    scripted.answer(answer_and_go)

    failure = fail(connect(scripted.base_url))

    assert (type(failure), failure.retryable) == (ProviderFailed, False)


def test_a_picture_that_does_not_come_by_the_deadline_is_waited_for_no_longer(scripted):
    scripted.answer(reply(body={"data": [{"url": "/1.png"}]}), hang)

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)
