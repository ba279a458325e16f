"""A provider is asked as it wants to be; what its refusals teach is kept, and what may have cost is never repeated."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from variations.dialects.known import known_by_name
from variations.dialects.refusals import error_for
from variations.errors import (
    ConfigurationError,
    InvalidRequest,
    ModelNotFound,
    ProviderBusy,
    ProviderError,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
)
from variations.interpreter import Interpreter
from variations.model import Adjustment, ImageModel, Listing, Picture, VariationRequest

from tests.fakes import Clock, FakeProvider, Sent

DEADLINE = 1e12


def draw(size=(96, 64), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, kind)
    return Picture(buffer.getvalue(), f"image/{kind.lower()}", *size)


PICTURE = draw()
ONE, TWO = Sent((b"one",)), Sent((b"one", b"two"))


def refusal(status, message="", param=None, code=None):
    body = {"error": {"message": message, "param": param, "code": code}} if message else {}
    return error_for(status, {}, json.dumps(body).encode())


USER = refusal(400, "Unknown parameter: 'user'.", "user", "unknown_parameter")
QUALITY = refusal(400, "Unknown parameter: 'quality'.", "quality", "unknown_parameter")
SIZE = refusal(400, "Invalid size '512x512'.", "size", "invalid_value")
FIELD = refusal(400, "at least one image[] required")
NO_ROUTE = refusal(404)
REQUEST = VariationRequest("flux", n=4, size="512x512", quality="high", user="ann")


def send(conversation, call):
    """Send a call; return what was sent back, as the provider's script has it."""
    images = {}
    answer = conversation.send(call, deadline=DEADLINE, take=images.__setitem__)
    return Sent(tuple(images.values()), answer.request_id, answer.usage, answer.warnings)


class Talk:
    """An interpreter with a scripted provider, and what is said to it."""

    def __init__(self, *script, listing=None, host=None, parameter="auto"):
        self.clock = Clock()
        self.provider = FakeProvider(script, listing)
        self.interpreter = Interpreter(self.provider, known_by_name(host), parameter, self.clock)

    def open(self, request=REQUEST, picture=PICTURE):
        return self.interpreter.open(request, picture, deadline=DEADLINE)

    def ask(self, conversation=None, n=1, seed=7):
        conversation = conversation or self.open()
        return send(conversation, conversation.write(n, seed))

    @property
    def calls(self):
        return self.provider.calls


# Refusals teach


def test_what_pleases_at_once_is_sent_once_with_the_deadline():
    talk = Talk(ONE)
    conversation = talk.open()

    assert talk.ask(conversation) == ONE
    assert len(talk.calls) == 1
    assert talk.provider.deadlines == [DEADLINE]
    assert (conversation.adjustments, conversation.warnings) == ((), ())
    assert conversation.manner.why == "nothing else is known of this provider"


def test_a_refusal_is_followed_by_a_call_as_the_provider_wants_it():
    talk = Talk(USER, ONE)
    conversation = talk.open()

    assert talk.ask(conversation) == ONE
    assert [sorted(call.fields) for call in talk.calls] == [
        ["model", "prompt", "quality", "size", "user"],
        ["model", "prompt", "quality", "size"],
    ]
    assert conversation.adjustments == (Adjustment("user", "ann", None, "the provider refuses it"),)


def test_a_call_is_corrected_three_times_at_most():
    talk = Talk(USER, QUALITY, SIZE, FIELD, ONE)

    with pytest.raises(ProviderRefused, match=r"image\[\]") as caught:
        talk.ask()

    assert caught.value is FIELD
    assert len(talk.calls) == 4


def test_a_call_that_pleases_after_three_corrections_is_taken():
    talk = Talk(USER, QUALITY, FIELD, ONE)

    assert talk.ask() == ONE
    assert talk.calls[-1].picture_field == "image[]"
    assert sorted(talk.calls[-1].fields) == ["model", "prompt", "size"]


def test_every_corrected_call_asks_with_the_same_seed_and_for_the_same_number():
    talk = Talk(USER, FIELD, TWO)
    talk.ask(n=2, seed=99)

    assert [(call.n, call.seed) for call in talk.calls] == [(2, 99)] * 3


def test_a_size_that_is_refused_is_told_of():
    talk = Talk(SIZE, ONE)
    conversation = talk.open()
    talk.ask(conversation)

    assert talk.calls[-1].fields["size"] == "1024x1024"
    assert [(change.parameter, change.asked, change.sent) for change in conversation.adjustments] == [
        ("size", "512x512", "1024x1024")
    ]


def test_where_several_pictures_are_refused_one_is_asked_for():
    talk = Talk(refusal(400, "n=2 is not supported for model MAI-Image-2.5."), ONE)
    conversation = talk.open()

    assert talk.ask(conversation, n=2) == ONE
    assert [call.n for call in talk.calls] == [2, 1]
    assert conversation.write(4, 8).n == 1


NEVER = {
    "moderation": refusal(400, "Unknown parameter: 'user'.", "user", "moderation_blocked"),
    "xai moderation": error_for(
        400,
        {},
        b'{"code": "imagine:content-moderated", "error": "Generated image rejected by content moderation. size"}',
    ),
    "rate limit": refusal(429, "Unknown parameter: 'user'."),
    "breakdown": refusal(500, "Unknown parameter: 'user'."),
    "gateway": refusal(502),
    "service": refusal(503, "Invalid size"),
    "gateway timeout": refusal(504),
    "key": refusal(401, "Unknown parameter: 'user'."),
    "forbidden": refusal(403),
    "unknown model": refusal(404, "The model `x` does not exist", "model", "model_not_found"),
    "timeout": ProviderTimeout("No answer."),
    "no connection": ProviderUnreachable("Nobody there."),
    "garbage": ProviderFailed("Not JSON."),
    "a refusal without words": ProviderRefused("No image."),
}


@pytest.mark.parametrize("error", NEVER.values(), ids=NEVER)
def test_what_may_have_cost_or_is_not_about_the_form_is_never_sent_again(error):
    talk = Talk(error, ONE)

    with pytest.raises(type(error)) as caught:
        talk.ask()

    assert caught.value is error
    assert len(talk.calls) == 1


def test_a_failure_after_a_correction_is_told_as_it_is():
    talk = Talk(USER, ProviderTimeout("No answer."), ONE)

    with pytest.raises(ProviderTimeout, match=r"^No answer\.$"):
        talk.ask()
    assert len(talk.calls) == 2


# Routes


def test_a_route_that_is_not_served_is_followed_by_the_other_one_with_a_square_png():
    talk = Talk(NO_ROUTE, ONE)
    conversation = talk.open(picture=draw(kind="JPEG"))
    talk.ask(conversation)

    assert [call.path for call in talk.calls] == ["images/edits", "images/variations"]
    assert [call.picture.content_type for call in talk.calls] == ["image/jpeg", "image/png"]
    assert (talk.calls[1].picture.width, talk.calls[1].picture.height) == (512, 512)
    assert conversation.manner.dialect.name == "variations"
    assert conversation.manner.why == "images/edits is not served (HTTP 404)"


@pytest.mark.parametrize("status", [404, 405, 501])
def test_where_neither_route_is_served_both_are_named_with_what_to_do(status):
    talk = Talk(refusal(status), refusal(status))

    with pytest.raises(ProviderFailed) as caught:
        talk.ask()

    assert caught.value.message.endswith(
        "Check ProviderBaseUrl and ProviderDialect. Tried: images/edits, images/variations. If it cannot make "
        "variations at all: Put a gateway that does in front of it, such as LiteLLM, and give its address as "
        "ProviderBaseUrl."
    )
    assert len(talk.calls) == 2


def test_where_the_stack_says_the_dialect_its_route_alone_is_tried_and_named():
    talk = Talk(refusal(404), ONE, parameter="edits")

    with pytest.raises(ProviderFailed, match=r"Tried: images/edits\. "):
        talk.ask()
    assert len(talk.calls) == 1


def test_a_size_that_the_other_route_cannot_make_is_refused_and_nothing_more_is_sent():
    talk = Talk(NO_ROUTE, ONE)
    conversation = talk.open(VariationRequest("flux", size="2048x2048"))

    with pytest.raises(InvalidRequest, match="2048x2048"):
        talk.ask(conversation)
    assert len(talk.calls) == 1


# What is remembered


def test_what_pleased_is_how_the_next_picture_is_asked_for():
    talk = Talk(USER, FIELD, ONE, ONE)
    talk.ask()
    talk.ask()

    assert len(talk.calls) == 4
    assert talk.calls[3] == talk.calls[2]


@pytest.mark.parametrize(
    "last", [ProviderTimeout("No answer."), refusal(400, "No."), refusal(500)], ids=["timeout", "refusal", "breakdown"]
)
def test_what_did_not_please_in_the_end_is_not_remembered(last):
    talk = Talk(USER, last, ONE)
    with pytest.raises(ProviderError):
        talk.ask()
    talk.ask()

    assert talk.calls[2] == talk.calls[0]


def test_what_one_model_taught_does_not_hold_for_another():
    talk = Talk(FIELD, ONE, ONE)
    talk.ask()
    talk.ask(talk.open(VariationRequest("other")))

    assert [call.picture_field for call in talk.calls] == ["image", "image[]", "image"]


def test_what_one_call_of_a_job_has_learnt_its_other_calls_take_over():
    talk = Talk(USER, ONE, USER, ONE)
    conversation = talk.open()
    first, second = conversation.write(1, 7), conversation.write(1, 8)
    send(conversation, first)
    send(conversation, second)

    assert [call.seed for call in talk.calls] == [7, 7, 8, 8]
    assert "user" not in talk.calls[3].fields
    assert conversation.adjustments == (Adjustment("user", "ann", None, "the provider refuses it"),)


def test_a_call_written_before_another_one_learnt_is_sent_once_more_whatever_its_refusal_said():
    talk = Talk(USER, ONE, refusal(400, "No."), ONE)
    conversation = talk.open()
    first, second = conversation.write(1, 7), conversation.write(1, 8)
    send(conversation, first)

    # Written before the first one learnt: it is asked again as is known by now, which costs nothing.
    assert send(conversation, second) == ONE


# How many


def test_a_provider_that_makes_one_picture_for_several_is_asked_one_by_one_from_then_on():
    talk = Talk(ONE, ONE)
    conversation = talk.open()
    talk.ask(conversation, n=4)

    assert talk.calls[0].n == 4
    assert conversation.write(3, 8).n == 1
    assert talk.open().write(3, 8).n == 1


@pytest.mark.parametrize(
    "answer",
    [TWO, Sent((b"one",), warnings=("A picture cannot be read.",))],
    ids=["two came", "one of two cannot be read"],
)
def test_a_provider_that_makes_fewer_but_several_is_asked_for_several_again(answer):
    talk = Talk(answer)
    conversation = talk.open()
    talk.ask(conversation, n=4)

    assert conversation.write(2, 8).n == 2


def test_a_provider_that_makes_one_where_one_was_asked_for_is_asked_for_several_again():
    talk = Talk(ONE)
    conversation = talk.open()
    talk.ask(conversation, n=1)

    assert conversation.write(4, 8).n == 4


@pytest.mark.parametrize(
    ("how", "n"),
    [
        ({"host": "Together"}, 1),
        ({"listing": Listing(family="Lemonade")}, 8),
        ({"host": "OpenAI"}, 10),
    ],
    ids=["together", "lemonade", "openai"],
)
def test_no_more_pictures_are_asked_for_than_the_provider_makes_in_one_call(how, n):
    assert Talk(**how).open().write(10, 7).n == n


# The list of models


def test_the_list_tells_who_the_provider_is():
    conversation = Talk(listing=Listing(family="SGLang")).open()

    assert conversation.manner.dialect.name == "edits_local"
    assert conversation.manner.why == "SGLang, by its list of models"


@pytest.mark.parametrize("listing", [Listing(), ProviderFailed("down"), ProviderBusy("busy")], ids=repr)
def test_the_list_is_read_once_in_five_minutes_though_it_cannot_be_read(listing):
    talk = Talk(listing=listing)
    for seconds, listed in ((0, 1), (0, 1), (300, 1), (1, 2), (299, 2), (2, 3)):
        talk.clock.now += seconds
        talk.open()

        assert talk.provider.listed == listed


def test_a_list_that_cannot_be_read_is_no_reason_not_to_ask():
    talk = Talk(ONE, listing=ModelNotFound("none"))

    assert talk.ask() == ONE


def test_a_list_that_comes_back_tells_who_the_provider_is_where_nothing_was_learnt():
    talk = Talk(listing=ProviderFailed("down"))
    assert talk.open().manner.dialect.name == "edits"

    talk.provider.listing = Listing(family="SGLang")
    talk.clock.now += 301
    assert talk.open().manner.dialect.name == "edits_local"


@pytest.mark.parametrize("how", [{"host": "Mistral"}, {"listing": Listing(family="Ollama")}], ids=["host", "list"])
def test_a_provider_that_cannot_is_not_asked_at_all(how):
    talk = Talk(ONE, **how)

    with pytest.raises(ConfigurationError, match="LiteLLM"):
        talk.open()
    assert talk.calls == []


def test_a_dialect_nobody_speaks_is_refused_before_anything_is_sent():
    with pytest.raises(ConfigurationError, match="klingon"):
        Talk(parameter="klingon").open()


@pytest.mark.parametrize(
    ("model", "day", "warnings"),
    [
        ("flux", "2026-12-01", 1),
        ("flux", "2026-10-23", 1),
        ("flux", "2028-01-01", 0),
        ("flux", None, 0),
        ("other", "2026-12-01", 0),
    ],
    ids=["soon", "dead", "in years", "never", "another model"],
)
def test_a_model_that_dies_soon_is_warned_of(model, day, warnings):
    listing = Listing((ImageModel(model, 0, "x", image=True, shutdown_date=day),))
    conversation = Talk(listing=listing).open()

    assert len(conversation.warnings) == warnings
    assert all(f"flux down on {day}" in warning for warning in conversation.warnings)


# The source


def test_a_picture_that_fits_is_sent_as_it_is():
    talk = Talk(ONE)
    talk.ask()

    assert talk.calls[0].picture is PICTURE


def test_a_picture_is_prepared_once_for_all_calls_of_a_job():
    talk = Talk(parameter="variations")
    conversation = talk.open()

    assert conversation.write(1, 7).picture is conversation.write(1, 8).picture


def test_a_picture_that_the_provider_would_not_take_is_sent_as_one_it_takes():
    talk = Talk(parameter="edits_local")

    assert talk.open(picture=draw(kind="WEBP")).write(1, 7).picture.content_type == "image/jpeg"


def test_a_size_that_the_model_cannot_make_is_refused_before_anything_is_sent():
    talk = Talk(ONE)

    with pytest.raises(InvalidRequest) as caught:
        talk.open(VariationRequest("gpt-image-1", size="2048x2048")).write(1, 7)
    assert caught.value.param == "size"
    assert talk.calls == []


STEPS = st.sampled_from([USER, QUALITY, SIZE, FIELD, NO_ROUTE, refusal(415), refusal(500), refusal(429), ONE, TWO])


@given(st.lists(STEPS, min_size=4, max_size=4), st.integers(1, 10))
def test_whatever_a_provider_does_it_is_sent_four_calls_at_most_and_only_the_last_can_have_cost(steps, n):
    talk = Talk(*steps)
    try:
        answer = talk.ask(n=n)
    except ProviderError:
        answer = None

    sent = steps[: len(talk.calls)]
    assert all(isinstance(step, ProviderError) and step.complaint.status in {400, 404, 415} for step in sent[:-1])
    assert answer in (None, sent[-1])
    assert {call.path for call in talk.calls} <= {"images/edits", "images/variations"}
