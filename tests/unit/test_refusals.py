"""Every HTTP error of a provider becomes one error of ours, which knows whether it may be tried again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from variations.errors import (
    ModelNotFound,
    ProviderBusy,
    ProviderDenied,
    ProviderFailed,
    ProviderRefused,
    VariationError,
)
from variations.refusals import error_for


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
        ("Fri, 31 Dec 1999 23:59:59 GMT", 30),
    ],
)
def test_a_429_says_how_long_to_wait_between_a_second_and_an_hour(header, seconds):
    assert failure(429, {"retry-after": header}).retry_after_seconds == seconds


def test_a_429_that_does_not_say_how_long_waits_half_a_minute():
    assert failure(429).retry_after_seconds == 30


def test_a_503_waits_for_as_long_as_it_says_and_else_leaves_it_to_the_worker():
    assert failure(503, {"Retry-After": "120"}).retry_after_seconds == 120
    assert failure(503).retry_after_seconds is None


HEADERS = st.dictionaries(st.just("Retry-After"), st.text(max_size=10) | st.floats().map(str))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "param", "detail", "type"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.integers(201, 599), HEADERS, st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_is_answered_there_is_an_error_that_says_something(status, headers, body):
    error = failure(status, headers, body)

    assert isinstance(error, VariationError)
    assert 0 < len(error.message) < 800
    assert error.retry_after_seconds is None or 1 <= error.retry_after_seconds <= 3600
