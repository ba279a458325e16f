"""The error tree is the one its module draws, and each error has a code and a status of its own."""

import re

import pytest
from variations import errors, http_api
from variations.errors import VariationError, error_from


def subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def drawn_tree():
    """Read name -> (name of the parent, words) out of the drawing in the module's docstring."""
    path, tree = [], {}
    for line in errors.__doc__.splitlines():
        match = re.match(r" {4}((?:│ {3}| {4})*(?:[├└]── )?)([A-Z]\w+)(.*)$", line)
        if match:
            depth = len(match[1]) // 4
            tree[match[2]] = (path[depth - 1] if depth else None, match[3].strip())
            path[depth:] = [match[2]]
    return tree


CLASSES = [VariationError, *subclasses(VariationError)]
# Status and "asked again by the worker" of each class: the table of the design, section "Errors".
TABLE = {
    "InvalidRequest": (400, False),
    "UnsupportedResource": (400, False),
    "Unauthorized": (401, False),
    "ModelNotFound": (404, False),
    "SourceNotFound": (404, False),
    "JobNotFound": (404, False),
    "NotFound": (404, False),
    "ResponseTooLarge": (413, False),
    "SourceTooLarge": (413, False),
    "UnsupportedImage": (415, False),
    "ProviderRefused": (422, False),
    "IdempotencyKeyReused": (422, False),
    "ProviderBusy": (429, True),
    "ProviderDown": (429, True),  # nobody asked it, so nothing was billed
    "BudgetExhausted": (429, False),  # until midnight: a message would come back too often by then
    "TooManyRequests": (429, False),  # over HTTP only, where no worker tries again
    "ProviderDenied": (502, False),
    "ProviderFailed": (502, False),  # but for those answers that `refusals` marks
    "ProviderUnreachable": (502, True),
    "ProviderError": (502, False),
    "ProviderTimeout": (504, False),
    "JobRunning": (504, True),  # a worker's message comes back when the lease of the other one ends
    "OutOfTime": (504, True),  # the next delivery has an invocation of its own
    "StorageFailed": (503, True),
    "CallsStopped": (503, True),
    "ConfigurationError": (500, False),
    "WorkerDied": (500, False),
    "VariationError": (500, False),
}
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def test_the_tree_in_the_docstring_is_the_real_tree():
    real = {kind.__name__: None if kind is VariationError else kind.__base__.__name__ for kind in CLASSES}

    assert {name: parent for name, (parent, _) in drawn_tree().items()} == real


def test_every_leaf_of_the_drawing_says_what_it_means():
    leaves = {kind.__name__ for kind in CLASSES if not kind.__subclasses__()}

    assert all(words for name, (_, words) in drawn_tree().items() if name in leaves)


def test_no_two_errors_share_a_code():
    codes = [kind.code for kind in CLASSES]

    assert sorted(set(codes)) == sorted(codes)


@every_class
def test_every_error_has_a_code_of_its_own_in_small_letters(kind):
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", vars(kind)["code"])


@every_class
def test_every_error_has_a_docstring_of_its_own(kind):
    assert kind.__doc__
    assert kind.__doc__ not in {parent.__doc__ for parent in kind.__mro__[1:]}


@every_class
def test_every_error_has_the_status_of_the_design(kind):
    assert http_api.status_of(kind) == TABLE[kind.__name__][0]


@every_class
def test_only_errors_that_surely_cost_nothing_are_tried_again(kind):
    assert kind("It happened.").retryable is TABLE[kind.__name__][1]


def test_an_error_without_a_row_has_the_status_of_its_nearest_ancestor():
    parent = type("Parent", (errors.ProviderTimeout,), {})

    assert http_api.status_of(type("Child", (parent,), {})) == 504


def test_the_table_has_a_row_for_each_class_and_for_nothing_else():
    assert TABLE.keys() == {kind.__name__ for kind in CLASSES}


def test_a_provider_that_is_down_is_a_busy_one_to_whoever_does_not_tell_them_apart():
    error = error_from("provider_down", "Jobs wait.")

    assert isinstance(error, errors.ProviderBusy)
    assert (type(error), error.code) == (errors.ProviderDown, "provider_down")


def test_one_error_may_be_retryable_without_changing_its_class():
    assert errors.ProviderFailed("503", retryable=True).retryable
    assert not errors.ProviderFailed("502").retryable
    assert not errors.StorageFailed("full", retryable=False).retryable


def test_an_error_says_its_message_and_keeps_what_it_was_told():
    error = errors.ProviderBusy("Come back later.", param="n", retry_after_seconds=30)

    assert str(error) == error.message == "Come back later."
    assert (error.param, error.retry_after_seconds) == ("n", 30)


def test_what_only_the_operator_is_to_know_is_in_the_log_and_not_in_the_message():
    error = errors.ConfigurationError("It cannot be read.", detail="the-secret")

    assert error.message == "It cannot be read."
    assert str(error) == "It cannot be read. [the-secret]"
    assert repr(error) == "ConfigurationError('It cannot be read. [the-secret]')"


def test_an_error_of_the_provider_may_keep_its_words_and_its_name_for_the_call():
    error, other = errors.ProviderRefused("No."), errors.ProviderRefused("No.")

    error.complaint = errors.Complaint("No.", "invalid_value", "size", 400)
    error.provider_request_id = "req_1"

    assert (other.complaint, other.provider_request_id) == (None, None)
    assert (error.message, error.param) == ("No.", None)


@every_class
def test_every_error_begins_without_a_name_of_the_providers(kind):
    assert kind("It happened.").provider_request_id is None


@every_class
def test_every_error_is_made_again_from_what_a_manifest_tells_of_it(kind):
    error = error_from(code=kind.code, message="It happened.", param="size")

    assert (type(error), error.message, error.param) == (kind, "It happened.", "size")
    assert error.retryable is TABLE[kind.__name__][1]


@pytest.mark.parametrize("code", ["", "no_such_code", "InvalidRequest", "Invalid_Request"])
def test_a_code_that_no_error_has_is_made_an_error_that_explains_nothing_more(code):
    error = error_from(code, "It happened.")

    assert (type(error), error.code, error.message, error.param) == (
        VariationError,
        "internal_error",
        "It happened.",
        None,
    )
    assert http_api.status_of(type(error)) == 500
