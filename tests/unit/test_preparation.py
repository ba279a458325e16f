"""What a job asks for is found out of its order, its picture's metadata, the folder's presets and the defaults."""

import json
import re

import pytest
from variations.errors import (
    ConfigurationError,
    InvalidRequest,
    SourceNotFound,
    SourceTooLarge,
    UnsupportedImage,
    VariationError,
)
from variations.manifest import Work
from variations.model import Job, Order, Picture, SourceLocation
from variations.options import MAX_PRESETS_BYTES
from variations.preparation import prepare

from tests.fakes import FakeStorage
from tests.unit.test_service import MODEL, draw, make_settings

FOLDER = "shop/a b+c%20ü"
KEY = f"{FOLDER}/cat.png"
PRESETS = f"{FOLDER}/variations.json"


class Preparation:
    """A picture in a bucket, and what is read when its job is prepared."""

    def __init__(self, key=KEY, bucket="uploads", **metadata):
        self.storage = FakeStorage()
        self.storage.buckets["others"] = {}
        self.read = []
        self.key, self.bucket = key, bucket
        self.storage.put(bucket, key, draw(), "image/png", metadata)

    def presets(self, content, key=PRESETS):
        written = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.storage.put(self.bucket, key, written, "application/json", {})
        return self

    def fetch(self, location, *, max_bytes):
        self.read.append(location.key)
        return self.storage.fetch_source(location, max_bytes=max_bytes)

    def prepare(self, options=None, *, complete=False, etag=None, **chosen):
        """Return the request, and all that is known of the work then."""
        location = SourceLocation(self.bucket, self.key, etag=etag)
        order = Order("job-1", location, f"{self.key}/job-1", "ann", options or {}, complete=complete)
        self.work = Work(Job(order, "run-1", "running", 0))
        request, picture = prepare(self.work, self.fetch, make_settings(**chosen))
        assert (request, picture) == (self.work.request, self.work.picture)
        return request

    def refusal(self, *arguments, **named):
        with pytest.raises(VariationError) as caught:
            self.prepare(*arguments, **named)
        return caught.value


# Who has the last word


def test_without_a_word_of_anybody_the_defaults_of_the_stack_hold():
    request = Preparation().prepare()

    assert (request.model, request.n, request.size, request.prompt) == (MODEL, 4, "1024x1024", None)


LAYERS = ["presets", "metadata", "order"]


@pytest.mark.parametrize("last", range(1, 4), ids=LAYERS)
def test_an_order_goes_before_metadata_those_before_presets_and_those_before_the_defaults(last):
    layers = {name: {"n": str(n)} if n <= last else {} for n, name in enumerate(LAYERS, start=1)}
    preparation = Preparation(**layers["metadata"]).presets(layers["presets"])

    assert preparation.prepare(layers["order"]).n == last


def test_each_option_is_taken_from_wherever_it_is_set():
    preparation = Preparation(size="32x32", style="vivid").presets({"n": 2, "size": "16x16", "prompt": "a cat"})

    request = preparation.prepare({"style": "natural", "user": "ada"})

    assert (request.n, request.prompt, request.size) == (2, "a cat", "32x32")
    assert (request.style, request.user, request.model) == ("natural", "ada", MODEL)


@pytest.mark.parametrize("order", ["output_format", "output-format", "Output-Format"])
@pytest.mark.parametrize("metadata", ["output_format", "output-format", "OUTPUT_FORMAT"])
@pytest.mark.parametrize("presets", ["output_format", "Output-Format"])
def test_one_option_is_one_option_in_whatever_case_and_with_whichever_dashes_it_is_written(order, metadata, presets):
    preparation = Preparation(**{metadata: "jpeg"}).presets({presets: "png", "n": 1})

    assert preparation.prepare({order: "webp"}).output_format == "webp"
    assert preparation.prepare().output_format == "jpeg"
    assert preparation.work.warnings == []


@pytest.mark.parametrize("unset", ["", None], ids=["empty", "null"])
def test_what_is_left_empty_is_left_to_the_next_who_has_a_say(unset):
    preparation = Preparation(n="", size="32x32").presets({"n": 3, "size": unset})

    request = preparation.prepare({"n": unset, "size": unset})

    assert (request.n, request.size) == (3, "32x32")


def test_metadata_may_be_in_any_language():
    preparation = Preparation(prompt="=?UTF-8?B?ZWluZSBzY2jDtm5lIFRhc3Nl?=")

    assert preparation.prepare().prompt == "eine schöne Tasse"


def test_an_order_and_presets_are_taken_by_the_letter():
    preparation = Preparation().presets({"prompt": "=?UTF-8?Q?a?=", "user": "ü"})

    request = preparation.prepare({"user": "=?UTF-8?Q?b?="})

    assert (request.prompt, request.user) == ("=?UTF-8?Q?a?=", "=?UTF-8?Q?b?=")


def test_options_that_nobody_knows_are_warned_of_once_whoever_wrote_them():
    preparation = Preparation(seed="1", **{"cfg-scale": "2"}).presets({"cfg_scale": 3, "steps": 4})

    preparation.prepare({"SEED": "5"})

    assert [re.search("'(.*)'", warning)[1] for warning in preparation.work.warnings] == ["cfg_scale", "seed", "steps"]


def test_a_complete_order_looks_at_nothing_else():
    preparation = Preparation(n="9", seed="1").presets(b"no JSON")

    request = preparation.prepare({"size": "64x64"}, complete=True)

    assert (request.n, request.size) == (4, "64x64")
    assert preparation.work.warnings == []
    assert preparation.read == [KEY]


# Presets


@pytest.mark.parametrize(
    ("key", "presets"),
    [
        ("cat.png", "variations.json"),
        ("a/cat.png", "a/variations.json"),
        ("a//cat.png", "a//variations.json"),
        (KEY, PRESETS),
    ],
    ids=["root", "folder", "folder without a name", "awkward"],
)
def test_presets_hold_for_the_pictures_beside_them(key, presets):
    assert Preparation(key).presets({"n": 7}, presets).prepare().n == 7


@pytest.mark.parametrize("elsewhere", ["variations.json", "shop/variations.json", f"{FOLDER}/more/variations.json"])
def test_presets_hold_for_no_other_folder(elsewhere):
    assert Preparation().presets({"n": 7}, elsewhere).prepare().n == 4


def test_presets_of_another_bucket_say_nothing():
    preparation = Preparation()
    preparation.storage.put("results", PRESETS, b'{"n": 7}', "application/json", {})

    assert preparation.prepare().n == 4


def test_the_etag_of_a_picture_is_not_asked_of_its_presets():
    preparation = Preparation().presets({"n": 7})
    etag = preparation.storage.get("uploads", KEY).etag

    assert preparation.prepare(etag=etag).n == 7


@pytest.mark.parametrize(
    ("content", "why", "param"),
    [
        pytest.param(b"n: 2", "no JSON", None, id="no JSON"),
        pytest.param(b"", "no JSON", None, id="empty"),
        pytest.param(b"\xff\xfe\xff", "no JSON", None, id="no text"),
        pytest.param([{"n": 2}], "no JSON object", None, id="list"),
        pytest.param({"n": 99}, "from 1 to 10", "n", id="too many"),
        pytest.param({"N": "many"}, "whole number", "n", id="no number"),
        pytest.param({"size": "large"}, "256x256", "size", id="no size"),
        pytest.param({"prompt": ["a cat"]}, "must be a text", "prompt", id="no text as prompt"),
        pytest.param({"prompt": "\ud83c"}, "must be a text", "prompt", id="half an emoji"),
        pytest.param(b" " * (MAX_PRESETS_BYTES + 1), f"takes up to {MAX_PRESETS_BYTES}", None, id="too large"),
    ],
)
def test_wrong_presets_are_refused_with_their_key_and_the_reason(content, why, param):
    error = Preparation().presets(content).refusal()

    assert isinstance(error, InvalidRequest)
    assert error.message.startswith(f"The presets in {PRESETS} are wrong: ")
    assert why in error.message
    assert error.param == param


def test_wrong_presets_are_refused_even_where_an_order_would_hide_what_is_wrong():
    assert PRESETS in Preparation(n="2").presets({"n": 99}).refusal({"n": "3"}).message


@pytest.mark.parametrize("where", ["order", "metadata"])
def test_right_presets_are_not_blamed_for_what_is_wrong_elsewhere(where):
    wrong = {"n": "99"}
    preparation = Preparation(**(wrong if where == "metadata" else {})).presets({"n": 2})

    error = preparation.refusal(wrong if where == "order" else {})

    assert (error.param, "presets" in error.message) == ("n", False)


def test_presets_of_just_the_longest_length_are_read():
    content = b'{"n": 7}'.ljust(MAX_PRESETS_BYTES)

    assert Preparation().presets(content).prepare().n == 7


def test_an_unknown_option_of_presets_is_a_warning_and_no_refusal():
    preparation = Preparation().presets({"seed": 7})

    preparation.prepare()

    assert ["seed" in warning for warning in preparation.work.warnings] == [True]


def test_presets_may_name_the_model_where_the_stack_has_none():
    assert Preparation().presets({"model": "gpt-image-2"}).prepare(default_model="").model == "gpt-image-2"


# The source


def test_the_work_learns_the_source_and_the_picture():
    preparation = Preparation()

    preparation.prepare()

    assert preparation.work.source.content == draw()
    assert preparation.work.picture == Picture(draw(), "image/png", 48, 32)


@pytest.mark.parametrize(("source_metadata", "kept"), [("strip", False), ("keep", True), ("", False)])
def test_metadata_of_a_source_are_dropped_unless_they_are_to_be_kept_and_memory_has_one_of_both(source_metadata, kept):
    preparation, told = Preparation(), draw() + b"behind"
    preparation.storage.put("uploads", KEY, told, "image/png", {})

    preparation.prepare(source_metadata=source_metadata)

    assert preparation.work.picture.content == (told if kept else draw())
    assert preparation.work.source.content is preparation.work.picture.content
    assert preparation.work.source_bytes == len(told)


@pytest.mark.parametrize(
    ("chosen", "allowed"),
    [
        ({}, False),
        ({"watched_bucket": "others"}, True),
        ({"allowed_source_buckets": ("more", "others")}, True),
        ({"uploads_bucket": "others"}, True),
        ({"results_bucket": "others"}, True),
        ({"allowed_source_buckets": ("other", "others2")}, False),
    ],
    ids=["none", "watched", "allowed", "uploads", "results", "others like it"],
)
def test_pictures_are_taken_only_from_buckets_that_the_stack_knows(chosen, allowed):
    preparation = Preparation(bucket="others")

    if allowed:
        assert preparation.prepare(**chosen).n == 4
        return
    error = preparation.refusal(**chosen)
    assert (type(error), error.param) == (InvalidRequest, "source")
    assert error.message == "Pictures are not taken from the bucket 'others'. See AllowedSourceBuckets."
    assert preparation.read == [], "nothing is even looked at in a foreign bucket"


def test_a_foreign_bucket_is_refused_for_complete_orders_too():
    assert Preparation(bucket="others").refusal(complete=True).param == "source"


def test_a_picture_that_is_gone_is_not_found_whatever_its_presets_say():
    preparation = Preparation().presets(b"no JSON")
    preparation.key = f"{FOLDER}/dog.png"

    assert isinstance(preparation.refusal(), SourceNotFound)


def test_a_picture_that_was_replaced_is_not_found():
    assert isinstance(Preparation().refusal(etag="e7"), SourceNotFound)


def test_a_picture_that_is_too_large_is_not_blamed_on_its_presets():
    error = Preparation().presets({"n": 2}).refusal(max_source_bytes=10)

    assert isinstance(error, SourceTooLarge)
    assert "presets" not in error.message


def test_what_is_no_picture_is_refused_when_its_options_are_known():
    preparation = Preparation().presets({"n": 2})
    preparation.storage.put("uploads", KEY, b"This is a text.", "image/png", {})

    assert isinstance(preparation.refusal(), UnsupportedImage)
    assert (preparation.work.request.n, preparation.work.picture) == (2, None)


def test_a_bucket_that_is_lost_is_a_wrong_configuration():
    preparation = Preparation()
    del preparation.storage.buckets["uploads"]

    assert isinstance(preparation.refusal(), ConfigurationError)
