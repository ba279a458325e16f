"""A refusal that cost nothing teaches how to ask, and no other one does; the provider's words are literal ones."""

import itertools
import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from variations.dialects.corrections import correct, is_correctable
from variations.dialects.edits import EDITS
from variations.dialects.edits_json import EDITS_JSON
from variations.dialects.edits_local import EDITS_LOCAL, SD_CPP
from variations.dialects.known import AZURE_EDITS
from variations.dialects.manner import DIALECTS, Manner
from variations.dialects.openrouter import NANOGPT, OPENROUTER
from variations.dialects.refusals import error_for, parse_complaint
from variations.dialects.variations import VARIATIONS
from variations.dialects.xai import XAI
from variations.errors import Complaint, InvalidRequest, ModelNotFound
from variations.model import Picture, VariationRequest

PICTURE = Picture(b"picture", "image/png", 64, 64)
REQUEST = VariationRequest("gpt-image-2", quality="high", user="ann")


def complaint(status, body):
    return parse_complaint((body if isinstance(body, str) else json.dumps(body)).encode(), status)


def openai(message, code=None, param=None, status=400):
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return complaint(status, {"error": error})


def corrected(manner, said, request=REQUEST, n=4):
    return correct(manner, manner.write(request, PICTURE, n, 7), said)


def asked_by(dialect, **how):
    return Manner(dialect, "to begin with", **how)


# Fields that are left out


@pytest.mark.parametrize(
    ("dialect", "said", "left_out"),
    [
        (EDITS, openai("Unknown parameter: 'user'.", "unknown_parameter", "user"), {"user"}),
        (EDITS, openai("Unknown parameter: 'size'.", "unknown_parameter", "size"), {"size"}),
        (EDITS, openai("Unknown parameter: 'quality'."), {"quality"}),
        (EDITS, openai("Invalid value: 'hd'. Supported values are: 'low'.", "invalid_value", "quality"), {"quality"}),
        (
            EDITS,
            openai(
                "litellm.UnsupportedParamsError: The following parameters are not supported for model "
                "openai/gpt-image-2.5: size, user",
                "400",
            ),
            {"size", "user"},
        ),
        (
            EDITS,
            openai(
                "litellm.UnsupportedParamsError: The following parameters are not supported for model "
                "ollama:x: background, quality",
                "400",
            ),
            {"quality"},
        ),
        (EDITS, complaint(400, {"error": "Unhandled parameter: quality"}), {"quality"}),
        (
            OPENROUTER,
            complaint(400, {"error": {"code": 400, "message": "Parameter 'quality' is not supported by this model"}}),
            {"quality"},
        ),
        (OPENROUTER, openai("Unknown field `provider`", "unsupported_provider_options", "provider"), {"provider"}),
        (NANOGPT, openai("Unsupported value", "invalid_value", "resolution"), {"resolution"}),
        (EDITS_LOCAL, openai("Unknown parameter: 'seed'.", "unknown_parameter", "seed"), {"seed"}),
        (
            VARIATIONS,
            openai("Unknown parameter: 'response_format'.", "unknown_parameter", "response_format"),
            {"response_format"},
        ),
        (
            EDITS_JSON,
            complaint(422, {"detail": [{"loc": ["body", "user"], "msg": "Extra inputs are not permitted"}]}),
            {"user"},
        ),
    ],
    ids=[
        "openai",
        "openai, size",
        "a name in quotes",
        "a value",
        "litellm, two of them",
        "litellm, one that was not sent",
        "openvino",
        "openrouter",
        "openrouter, hosts",
        "nanogpt",
        "a seed",
        "a legacy variation",
        "fastapi",
    ],
)
def test_a_field_that_is_refused_by_its_name_is_left_out(dialect, said, left_out):
    better = corrected(asked_by(dialect), said)

    assert better.without == dict.fromkeys(left_out, "the provider refuses it")
    assert not left_out & better.write(REQUEST, PICTURE, 4, 7).fields.keys()
    assert better.dialect is dialect


def test_what_was_left_out_before_stays_out():
    better = corrected(asked_by(EDITS, without={"quality": "so"}), openai("Unknown parameter: 'user'."))

    assert better.without == {"quality": "so", "user": "the provider refuses it"}


@pytest.mark.parametrize("name", ["model", "prompt", "style", "temperature"])
def test_a_field_that_must_be_there_or_was_not_sent_is_not_left_out(name):
    assert corrected(asked_by(EDITS), openai(f"Unknown parameter: '{name}'.", "unknown_parameter", name)) is None


# Sizes

SIZE_COMPLAINTS = {
    "divisible": "Invalid size '1000x1000'. Width and height must both be divisible by 16.",
    "pixels": "Invalid size '512x512'. Requested resolution is below the current minimum pixel budget.",
    "edge": "Invalid size '4000x1000'. The longest edge must be less than or equal to 3840.",
    "choices": "Invalid value: '1254x836'. Supported values are: '1024x1024', '1024x1536', '1536x1024', and 'auto'.",
    "sglang": "size must be formatted as positive WIDTHxHEIGHT",
    "vllm": "Invalid size format",
}


@pytest.mark.parametrize("message", SIZE_COMPLAINTS.values(), ids=SIZE_COMPLAINTS)
@pytest.mark.parametrize(
    ("dialect", "asked", "steps"),
    [
        (EDITS, "512x512", ["1024x1024", "auto", None]),
        (EDITS, "1000x1000", ["1024x1024", "auto", None]),
        (EDITS, "1536x1024", ["auto", None]),
        (EDITS, "auto", [None]),
        (AZURE_EDITS, "1024x1024", ["auto", None]),
        (EDITS_JSON, "512x512", ["1024x1024", "auto", None]),
        (EDITS_LOCAL, "512x512", ["1024x1024", None]),
        (EDITS_LOCAL, "2048x2048", [None]),
        (OPENROUTER, "512x512", ["1024x1024", None]),
        (OPENROUTER, "1024x1536", [None]),
    ],
    ids=[
        "small",
        "off the grid",
        "not covered by the square",
        "auto",
        "azure",
        "json",
        "local",
        "large, local",
        "openrouter",
        "openrouter, upright",
    ],
)
def test_a_size_that_is_refused_is_asked_larger_then_left_to_the_provider_then_not_said(dialect, asked, steps, message):
    manner, request = asked_by(dialect), VariationRequest("flux", size=asked)
    taken = []
    while better := corrected(manner, openai(message, "invalid_value", "size"), request):
        manner = better
        call = manner.write(request, PICTURE, 1, 7)
        taken.append(call.fields.get("size"))

    assert taken == steps


def test_a_size_of_a_gpt_image_that_was_enlarged_already_goes_on_from_there():
    request = VariationRequest("gpt-image-2", size="256x256")
    better = corrected(asked_by(EDITS), openai("Invalid size", "invalid_value", "size"), request)

    assert better.sizes == {"256x256": "auto"}


@pytest.mark.parametrize("dialect", [VARIATIONS, XAI, DIALECTS["together"], DIALECTS["localai"], DIALECTS["ark"]])
def test_a_dialect_that_knows_its_sizes_does_not_guess_others(dialect):
    request = VariationRequest("seedream-4-0")
    said = complaint(
        400,
        {
            "error": {
                "code": "InvalidParameter",
                "message": "The parameter `width` specified in the request is not valid: image size must be at least "
                "3686400 pixels. Request id: 1",
            }
        },
    )

    assert corrected(asked_by(dialect), said, request) is None


# How many


@pytest.mark.parametrize(
    "said",
    [
        openai("n=2 is not supported for model MAI-Image-2.5."),
        openai("Unknown parameter: 'n'.", "unknown_parameter", "n"),
        openai("Invalid 'n': integer above maximum value.", "integer_above_max_value", "n"),
        openai("You must provide n=1 for this model"),
        openai("providers that only support single-image generation reject n > 1"),
        openai("The following parameters are not supported for model x: n, user"),
        complaint(400, {"error": {"message": "Invalid value for 'n': must be between 1 and 10"}}),
        complaint(422, {"detail": [{"loc": ["body", "n"], "msg": "Input should be 1"}]}),
    ],
    ids=["mai", "unknown", "too many", "one", "openrouter", "litellm", "lemonade", "fastapi"],
)
def test_pictures_are_asked_for_one_by_one_where_several_are_refused(said):
    better = corrected(asked_by(EDITS), said, n=4)

    assert better.images_per_call == 1
    assert "n" not in better.write(REQUEST, PICTURE, 1, 7).fields
    assert corrected(asked_by(EDITS), openai("n=1 is not supported", param="n"), n=1) is None


# The field of the picture


@pytest.mark.parametrize(
    ("dialect", "said", "field"),
    [
        (EDITS, complaint(400, {"error": "at least one image[] required"}), "image[]"),
        (
            EDITS,
            openai("Duplicate parameter: 'image'. use the array syntax image[]", "duplicate_parameter", "image"),
            "image[]",
        ),
        (EDITS, complaint(422, {"detail": [{"loc": ["body", "image[]"], "msg": "Field required"}]}), "image[]"),
        (EDITS, openai("Missing required parameter: 'image'.", None, "image"), "image[]"),
        (SD_CPP, openai("Invalid type for 'image[0]': expected a file, but got a string", None, "image[0]"), "image"),
        (EDITS_LOCAL, complaint(422, {"detail": "Field 'image' or 'url' is required"}), "image[]"),
        (VARIATIONS, complaint(400, {"detail": "At least one image file is required"}), "image[]"),
    ],
    ids=["sd.cpp", "openai", "fastapi", "missing", "litellm", "sglang", "xinference"],
)
def test_the_field_of_the_picture_gets_brackets_or_loses_them_once(dialect, said, field):
    better = corrected(asked_by(dialect), said)

    assert better.write(REQUEST, PICTURE, 4, 7).picture_field == field
    assert corrected(better, said) is None


# Forms and JSON


@pytest.mark.parametrize(
    ("dialect", "said", "other"),
    [
        (EDITS, complaint(400, {"error": "Content-Type must be application/json"}), EDITS_JSON),
        (EDITS, complaint(415, {"error": "Expected JSON"}), EDITS_JSON),
        (AZURE_EDITS, complaint(415, ""), EDITS_JSON),
        (EDITS_LOCAL, complaint(415, {"detail": "Unsupported media type"}), EDITS_JSON),
        (EDITS_JSON, complaint(400, {"error": "Content-Type must be multipart/form-data"}), EDITS),
        (EDITS_JSON, openai("Request must be multipart/form-data"), EDITS),
        (EDITS_JSON, openai("request Content-Type isn't multipart/form-data"), EDITS),
        (EDITS_JSON, complaint(415, ""), EDITS),
    ],
    ids=["json wanted", "json expected", "415", "415 of ones own", "sd.cpp", "lemonade", "relay", "415 of json"],
)
def test_a_body_of_the_wrong_kind_is_sent_as_the_other_kind(dialect, said, other):
    better = corrected(asked_by(dialect), said)

    assert better.dialect is other
    assert better.why in {"it takes JSON only", "it takes forms only"}


@pytest.mark.parametrize(
    "said",
    [
        openai("Invalid file 'image': unsupported mimetype ('application/octet-stream')", status=415),
        openai("Unsupported image format", status=415),
    ],
    ids=["openai", "format"],
)
def test_a_415_about_the_type_of_the_picture_is_not_about_the_body(said):
    better = corrected(asked_by(EDITS), said)

    assert better is None or better.dialect is EDITS


def test_a_server_that_takes_neither_a_form_nor_json_is_not_asked_the_same_way_twice():
    said = complaint(415, "")
    form = corrected(corrected(asked_by(EDITS), said), said)

    assert form is None


# Routes


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("dialect", [EDITS, EDITS_JSON, EDITS_LOCAL], ids=["form", "json", "local"])
@pytest.mark.parametrize("body", ["404 page not found", {"error": {"message": "Not Found", "code": "404"}}, ""])
def test_where_edits_are_not_served_variations_are_asked_for(body, dialect, status):
    better = corrected(asked_by(dialect), complaint(status, body), VariationRequest("flux", size="512x512"))

    assert better.dialect is VARIATIONS
    assert better.why == f"images/edits is not served (HTTP {status})"


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("name", ["variations", "together", "localai", "ark", "openrouter"])
def test_there_is_no_other_route_from_any_other_one(name, status):
    assert corrected(asked_by(DIALECTS[name]), complaint(status, "404 page not found"), VariationRequest("m")) is None


@pytest.mark.parametrize(
    "said", [complaint(404, ""), complaint(415, ""), openai("application/json required")], ids=["404", "415", "json"]
)
def test_where_the_stack_says_the_dialect_no_other_one_is_tried(said):
    assert corrected(asked_by(EDITS, fixed=True), said) is None


def test_where_the_stack_says_the_dialect_its_fields_are_corrected_all_the_same():
    assert corrected(asked_by(EDITS, fixed=True), openai("Unknown parameter: 'user'.")).without.keys() == {"user"}


# What is never corrected

MODERATION = [
    {"error": {"code": "moderation_blocked", "message": "Unknown parameter: 'user'."}},
    {"error": {"code": "content_policy_violation", "message": "size", "param": "size"}},
    {"error": {"code": "contentFilter", "message": "Your task failed as a result of our safety system. size"}},
    {"error": {"code": "content_filter", "message": "filtered", "param": "size"}},
    {"code": "imagine:content-moderated", "error": "Generated image rejected by content moderation. 'user'"},
    {"code": "Client specified an invalid argument", "error": "Generated image rejected by content moderation. size"},
    {"error": {"code": "InputImageSensitiveContentDetected", "message": "size", "param": "size"}},
]


@pytest.mark.parametrize("status", [400, 404, 415, 422])
@pytest.mark.parametrize("body", MODERATION, ids=lambda body: str(body.get("code") or body["error"]["code"]))
@pytest.mark.parametrize("name", DIALECTS)
def test_moderation_is_never_argued_with_as_it_may_have_been_billed(name, body, status):
    assert not is_correctable(complaint(status, body))
    assert corrected(asked_by(DIALECTS[name]), complaint(status, body), VariationRequest("m", user="ann")) is None


@pytest.mark.parametrize("status", [0, 200, 401, 402, 403, 408, 409, 413, 429, 500, 502, 503, 504, 524, 529])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Unknown parameter: 'user'.", "param": "user", "code": "unknown_parameter"}},
        {"error": {"message": "Invalid size", "param": "size"}},
        {"error": "application/json required"},
        "404 page not found",
    ],
    ids=["parameter", "size", "json", "page"],
)
def test_no_other_status_is_corrected_whatever_is_said_with_it(body, status):
    assert corrected(asked_by(EDITS), complaint(status, body)) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"message": "The model `x` does not exist", "code": "model_not_found", "param": "model"}}),
        (404, {"error": {"message": 'model "x" not found. To see available models, call GET /v1/models'}}),
        (400, {"error": {"message": "Model mismatch: request specifies 'x' but server is running 'y'."}}),
    ],
    ids=["openai", "localai", "vllm"],
)
def test_an_unknown_model_is_an_error_of_its_own_that_nothing_corrects(status, body):
    error = error_for(status, {}, json.dumps(body).encode())

    assert type(error) is ModelNotFound
    assert not hasattr(error, "complaint")


@pytest.mark.parametrize(
    "said",
    [
        Complaint(status=400),
        openai("Your request was malformed."),
        openai("prompt required"),
        openai("loaded model does not support img_gen"),
        openai("Your organization must be verified to use the model `gpt-image-2`"),
        complaint(422, {"detail": [{"loc": ["body", "prompt"], "msg": "too long"}]}),
    ],
    ids=["nothing", "malformed", "prompt", "model", "organisation", "fastapi"],
)
def test_a_refusal_that_means_what_it_says_is_not_corrected(said):
    assert corrected(asked_by(EDITS), said) is None


# Whatever is said

WORDS = [
    "Unknown parameter:",
    "'size'",
    "'user'",
    "'quality'",
    "size",
    "n",
    "'n'",
    "must",
    "image",
    "image[]",
    "missing",
]
WORDS += [
    "field required",
    "expected a file",
    "application/json",
    "multipart",
    "mimetype",
    "not supported",
    "resolution",
]
WORDS += [
    "parameters",
    ":",
    "user",
    "only one",
    "seed",
    "'provider'",
    "'resolution'",
    "Not Found",
    "images/generations",
]
COMPLAINTS = st.builds(
    Complaint,
    message=st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join) | st.text(max_size=20),
    code=st.sampled_from(
        ["", "unknown_parameter", "invalid_value", "duplicate_parameter", "moderation_blocked", "404"]
    ),
    param=st.sampled_from(["", "size", "user", "n", "image", "image[]", "quality", "seed", "model", "resolution"]),
    status=st.sampled_from([400, 404, 405, 415, 422, 429, 500, 501, 502]),
)
REQUESTS = st.builds(
    VariationRequest,
    model=st.sampled_from(["gpt-image-2", "gpt-image-1", "flux", "seedream-4-0"]),
    size=st.sampled_from(["256x256", "512x512", "1000x1000", "1024x1024", "1536x1024", "auto"]),
    quality=st.none() | st.just("high"),
    user=st.none() | st.just("ann"),
)
MANNERS = st.builds(
    Manner,
    dialect=st.sampled_from([*DIALECTS.values(), SD_CPP, NANOGPT, AZURE_EDITS]),
    why=st.just("so"),
    fixed=st.booleans(),
)


def calls(manner, request, n, complaints):
    """Yield every call that is written while a provider complains, the first one too."""
    for said in complaints:
        try:
            call = manner.write(request, PICTURE, min(n, manner.images_per_call), 7)
        except InvalidRequest:
            return
        yield call
        better = correct(manner, call, said)
        if better is None:
            return
        assert better != manner
        manner = better


@given(MANNERS, REQUESTS, st.integers(1, 10), st.lists(COMPLAINTS, min_size=1, max_size=6))
def test_whatever_a_provider_complains_of_there_is_another_manner_or_none_and_never_text_to_image(
    manner, request, n, complaints
):
    written = list(calls(manner, request, n, complaints))

    for before, after in itertools.pairwise(written):
        assert after.path in {before.path, "images/variations"}
        assert after != before
        assert bool(after.picture) or any(
            name in after.fields
            for name in ("images", "image", "image_url", "reference_images", "files", "input_references")
        )


@given(MANNERS, REQUESTS, st.integers(1, 10), COMPLAINTS)
def test_one_and_the_same_complaint_is_answered_a_few_times_at_most(manner, request, n, said):
    # A form for JSON and back: see the test that is expected to fail.
    assume(said.status != 415)
    assume(not ("multipart" in said.message and "application/json" in said.message))

    assert len(list(calls(manner, request, n, [said] * 20))) <= 9
