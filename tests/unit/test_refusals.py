"""Every HTTP error of a provider becomes one error of ours, which knows whether it may be tried again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from variations.dialects.refusals import error_for, error_in_success, is_moderation, parse_complaint, request_id_in
from variations.errors import (
    Complaint,
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    VariationError,
)


def failure(status, headers=None, body=b"", **error):
    if error:
        body = json.dumps({"error": error}).encode()
    return error_for(status, CaseInsensitiveDict(headers or {}), body)


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (201, ProviderFailed, False),
        (301, ProviderFailed, False),
        (400, ProviderRefused, False),
        (401, ProviderDenied, False),
        (403, ProviderDenied, False),
        (404, ProviderFailed, False),
        (405, ProviderFailed, False),
        (408, ProviderFailed, False),
        (413, ProviderRefused, False),
        (415, ProviderRefused, False),
        (422, ProviderRefused, False),
        (429, ProviderBusy, True),
        (451, ProviderRefused, False),
        (500, ProviderFailed, True),
        (501, ProviderFailed, False),
        (502, ProviderFailed, False),
        (503, ProviderFailed, True),
        (504, ProviderFailed, False),
        (520, ProviderFailed, False),
        (524, ProviderFailed, False),
    ],
)
def test_every_status_has_its_error_and_only_what_surely_cost_nothing_or_little_is_tried_again(status, kind, retryable):
    error = failure(status, body=b"<html>nginx</html>")

    assert (type(error), error.retryable) == (kind, retryable)
    assert status == 429 or str(status) in error.message


def test_a_402_is_an_account_without_credit():
    assert type(failure(402, message="Insufficient credits")) is ProviderDenied


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_unknown_model_is_told_by_its_code_whatever_the_status(status):
    error = failure(status, message="The model `x` does not exist", code="model_not_found")

    assert (type(error), error.param) == (ModelNotFound, "model")
    assert "The model `x` does not exist" in error.message


@pytest.mark.parametrize("status", [400, 403, 429])
@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
def test_an_account_without_money_is_the_operators_task_whatever_the_status(status, code):
    error = failure(status, {"Retry-After": "10"}, message="You exceeded your quota", code=code)

    assert (type(error), error.retryable) == (ProviderDenied, False)
    assert "add credit" in error.message


@pytest.mark.parametrize("body", [{"error": "insufficient_quota"}, {"code": "x", "error": {"message": "billing"}}])
def test_words_that_are_no_code_do_not_make_a_429_final(body):
    assert type(failure(429, body=json.dumps(body).encode())) is ProviderBusy


def test_a_refusal_passes_on_the_providers_words_and_the_field_at_fault():
    error = failure(400, message="Invalid size.", param="size", code="invalid_value")

    assert error.param == "size"
    assert "(HTTP 400)" in error.message
    assert error.message.endswith("It says: Invalid size.")


def test_a_refusal_without_a_field_names_none():
    assert failure(400, message="Blocked.", param=None).param is None


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_route_that_is_not_served_tells_which_parameters_to_check(status):
    assert "Check ProviderBaseUrl and ProviderDialect" in failure(status, message="Not Found").message


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_provider_says_about_our_key_is_not_passed_on(status):
    error = failure(status, message="Incorrect API key provided: sk-local. Find yours at https://host.")

    assert "sk-local" not in error.message
    assert "Incorrect" not in error.message
    assert "provider secret" in error.message


@pytest.mark.parametrize(
    "key", ["sk-local", "sk-proj-Ab_1.23*456", "sk_test_1234", "xai-12345678", "gsk_12345678", "Bearer abc.def-ghi"]
)
@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_anything_like_a_key_in_the_providers_words_is_masked(status, key):
    error = failure(status, message=f"No access with ({key}), sorry")

    assert key not in error.message
    assert "No access with ([key]), sorry" in error.message


def test_words_that_only_begin_like_a_key_are_left_alone():
    assert failure(400, message="A task-based risk-free skyline.").message.endswith("A task-based risk-free skyline.")


def test_a_sentence_about_keys_is_left_alone():
    assert failure(400, message="The key provided has expired.").message.endswith("The key provided has expired.")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("20", 20),
        ("1.5", 1.5),
        ("0", 1),
        ("-5", 1),
        ("3600", 3600),
        ("3601", 3600),
        ("1e9", 3600),
        ("nan", 30),
        ("inf", 30),
        ("-inf", 30),
        ("1e999", 30),
        ("", 30),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 1),
        ("Fri, 31 Dec 2999 23:59:59 GMT", 3600),
    ],
)
def test_a_429_says_how_long_to_wait_between_a_second_and_an_hour(header, seconds):
    assert failure(429, {"retry-after": header}).retry_after_seconds == seconds


def test_a_429_that_does_not_say_how_long_waits_half_a_minute():
    assert failure(429).retry_after_seconds == 30


def test_a_503_waits_for_as_long_as_it_says_and_else_leaves_it_to_the_worker():
    assert failure(503, {"Retry-After": "120"}).retry_after_seconds == 120
    assert failure(503).retry_after_seconds is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("20000", 20), ("1500", 1.5), ("1", 1), ("-7", 1), ("99999999", 3600), ("soon", 30), ("", 30), ("nan", 30)],
)
def test_a_wait_in_milliseconds_counts_more_than_one_in_seconds(header, seconds):
    assert failure(429, {"retry-after-ms": header, "Retry-After": "7"}).retry_after_seconds == seconds


def test_a_402_shows_nothing_of_what_the_provider_says():
    assert "Insufficient" not in failure(402, message="Insufficient credits").message


# What a provider says, in its own words: read 2026-11-22 to 2026-11-25


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            {
                "code": "imagine:content-moderated",
                "error": "Generated image rejected by content moderation.",
                "usage": {"cost_in_usd_ticks": 900000000},
            },
        ),
        (
            400,
            {
                "code": "Client specified an invalid argument",
                "error": "Generated image rejected by content moderation.",
            },
        ),
        (400, {"error": {"code": "moderation_blocked", "message": "Your request was rejected."}}),
        (400, {"error": {"code": "content_policy_violation", "message": "Your request was rejected."}}),
        (
            400,
            {
                "created": 1,
                "error": {
                    "code": "contentFilter",
                    "message": "Your task failed as a result of our safety system.",
                },
            },
        ),
        (
            400,
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering ...",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                }
            },
        ),
        (
            403,
            {
                "error": {
                    "code": "Forbidden",
                    "message": "Your resource has been temporarily blocked because we detected behavior that may "
                    "violate our content policy",
                }
            },
        ),
        (400, {"error": {"code": "InputTextSensitiveContentDetected", "message": "No."}}),
        (400, {"error": {"code": "InputImageSensitiveContentDetected", "message": "No."}}),
        (400, {"error": {"code": "OutputImageSensitiveContentDetected", "message": "No."}}),
    ],
    ids=[
        "xai",
        "xai, older",
        "openai",
        "openai, older",
        "azure",
        "azure, of old",
        "azure, blocked",
        "ark, prompt",
        "ark, source",
        "ark, result",
    ],
)
def test_moderation_is_a_refusal_that_says_so_whatever_it_is_called(status, body):
    error = failure(status, body=json.dumps(body).encode())

    assert (type(error), error.retryable) == (ProviderRefused, False)
    assert "finds the picture or the prompt unacceptable" in error.message
    assert is_moderation(error.complaint)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "unknown_parameter", "message": "Unknown parameter: 'response_format'."}},
        {"error": {"code": "invalid_value", "message": "Invalid size '256x256'."}},
        {"error": "prompt required"},
        {},
    ],
    ids=["parameter", "size", "text", "nothing"],
)
def test_a_complaint_about_the_form_of_a_call_is_no_moderation(body):
    assert not is_moderation(parse_complaint(json.dumps(body).encode(), 400))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"error": {"code": "model_not_found", "message": "The model `x` does not exist"}}),
        (404, {"error": {"type": "invalid_request_error", "message": 'model "x" not found. To see available models'}}),
        (400, {"error": {"message": "Model mismatch: request specifies 'x' but server is running 'y'.", "code": 400}}),
        (400, {"detail": "Model not found in the model list, uid: x"}),
        (404, {"error": {"code": "UnsupportedModel", "message": "The model x is not available."}}),
    ],
    ids=["openai", "localai", "vllm", "xinference", "ark"],
)
def test_an_unknown_model_is_told_by_the_words_of_every_server(status, body):
    error = failure(status, body=json.dumps(body).encode())

    assert (type(error), error.param, error.retryable) == (ModelNotFound, "model", False)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_words_about_a_model_mean_no_unknown_model_with_another_status(status):
    assert type(failure(status, message="This model is not available right now.")) is not ModelNotFound


def test_a_model_that_its_owner_paused_is_the_operators_task():
    error = failure(429, message="The model is paused.", code="SetLimitExceeded")

    assert (type(error), error.retryable) == (ProviderDenied, False)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (
            400,
            {
                "error": {
                    "message": "Unknown parameter: 'response_format'.",
                    "type": "invalid_request_error",
                    "param": "response_format",
                    "code": "unknown_parameter",
                }
            },
            Complaint("Unknown parameter: 'response_format'.", "unknown_parameter", "response_format", 400),
        ),
        (400, {"error": "prompt required"}, Complaint("prompt required", status=400)),
        (
            422,
            {"detail": [{"loc": ["body", "image"], "msg": "Field required", "type": "missing"}]},
            Complaint("Field required", "missing", "image", 422),
        ),
        (500, {"detail": {"error": "No."}}, Complaint("No.", status=500)),
    ],
    ids=["openai", "stable-diffusion.cpp", "fastapi", "deepinfra"],
)
def test_an_error_keeps_the_providers_own_words_and_the_status(status, body, expected):
    assert failure(status, body=json.dumps(body).encode()).complaint == expected


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"x-request-id": "req_1", "cf-ray": "ray"}, "req_1"),
        ({"apim-request-id": "azure-1"}, "azure-1"),
        ({"x-ms-request-id": "ms-1"}, "ms-1"),
        ({"X-Request-Id": "", "CF-Ray": "ray"}, "ray"),
        ({"x-request-id": "r" * 201}, "r" * 200),
        ({}, None),
    ],
    ids=["openai", "azure", "azure, older", "cloudflare", "endless", "none"],
)
def test_an_error_keeps_the_name_that_the_provider_gave_to_the_call(headers, name):
    assert request_id_in(CaseInsensitiveDict(headers)) == name
    assert failure(400, headers, message="No.").provider_request_id == name


# An error in an answer that says 200


@pytest.mark.parametrize(
    ("answer", "kind", "retryable"),
    [
        ({"error": {"message": "Provider returned error", "code": 502}}, ProviderFailed, False),
        ({"error": {"message": "Overloaded", "code": 503}}, ProviderFailed, False),
        ({"error": {"message": "Rate limited", "code": 429}}, ProviderBusy, True),
        ({"error": {"message": "Rate limited", "code": "429"}}, ProviderBusy, True),
        ({"error": {"message": "No credit", "code": 402}}, ProviderDenied, False),
        ({"error": {"message": "Bad size", "code": "invalid_value"}}, ProviderRefused, False),
        ({"error": {"message": "No.", "code": "insufficient_quota"}}, ProviderDenied, False),
        ({"error": {"message": "No such model", "code": "model_not_found"}}, ModelNotFound, False),
        ({"error": "content moderation"}, ProviderRefused, False),
        ({"error": {"code": 200, "message": "No."}}, ProviderRefused, False),
        ({"error": True}, ProviderRefused, False),
    ],
    ids=[
        "of a gateway",
        "of a busy server",
        "rate limit",
        "rate limit in a text",
        "credit",
        "code in words",
        "quota",
        "model",
        "moderation",
        "code of success",
        "no words",
    ],
)
def test_an_error_that_says_200_is_taken_for_what_it_says_and_only_a_rate_limit_is_tried_again(answer, kind, retryable):
    error = error_in_success(answer)

    assert (type(error), error.retryable) == (kind, retryable)


HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "x-request-id"]), st.text(max_size=10) | st.floats().map(str)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "param", "detail", "type", "loc"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.integers(201, 599), HEADERS, st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_answered_there_is_an_error_that_says_something(status, headers, body):
    error = failure(status, headers, body)

    assert isinstance(error, VariationError)
    assert 0 < len(error.message) < 800
    assert error.retry_after_seconds is None or 1 <= error.retry_after_seconds <= 3600


@given(st.integers(201, 599), st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_answered_an_error_of_the_provider_keeps_the_status(status, body):
    error = failure(status, body=body)

    assert not isinstance(error, ProviderError) or error.complaint.status == status


@given(st.dictionaries(st.sampled_from(["error", "code", "message", "data"]), JSON, max_size=4))
def test_whatever_is_wrong_in_an_answer_that_says_200_there_is_an_error_that_says_something(answer):
    error = error_in_success(answer)

    assert isinstance(error, VariationError)
    assert error.message
    assert not error.retryable or isinstance(error, ProviderBusy)
