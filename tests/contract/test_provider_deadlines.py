"""However slowly a provider answers, nobody waits beyond the deadline."""

import itertools
import threading
import time

import pytest
from botocore.exceptions import ClientError
from variations import exchange as exchange_module
from variations.dialects.call import ProviderCall
from variations.errors import (
    ProviderTimeout,
    ProviderUnreachable,
)
from variations.keys import ProviderKey, Secret
from variations.model import Picture
from variations.provider import Provider

from tests.contract.scripted import (
    CALL,
    GOOD,
    KEY,
    LONG,
    PNG,
    REFUSAL,
    SHORT,
    WHOLE,
    Secrets,
    connect,
    drip,
    fail,
    hang,
    read_request,
    reply,
    send,
)

# Time


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(None, id="no answer"),
        pytest.param(reply(Content_Length=1000), id="a body that never comes to its end"),
        pytest.param(reply(500, Content_Length=1000), id="an error that never comes to its end"),
        pytest.param(
            reply(Content_Length=None),
            id="a body without a length",
        ),
    ],
)
def test_an_answer_that_is_not_whole_by_the_deadline_is_waited_for_no_longer(scripted, head):
    scripted.answer(hang if head is None else drip(scripted, head))

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)
    assert len(scripted.requests) == 1


def test_an_answer_that_stops_is_waited_for_no_longer_than_the_deadline(scripted):
    def send_half(connection):
        connection.sendall(reply(body=WHOLE[:50], Content_Length=1000))
        hang(connection)

    scripted.answer(send_half)

    failure = fail(connect(scripted.base_url), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderTimeout, False)
    for alarm in threading.enumerate():  # it rings just when the socket gives up by itself
        if isinstance(alarm, threading.Timer):
            alarm.join()


def test_an_alarm_that_rings_when_the_answer_has_just_ended_does_no_harm(scripted, monkeypatch):
    class Late:
        def __init__(self, seconds, ring, arguments):
            self.cancel = lambda: ring(*arguments)

        def start(self):
            pass

    monkeypatch.setattr(exchange_module.threading, "Timer", Late)
    scripted.answer(reply(body=GOOD))

    assert send(connect(scripted.base_url)).images == (PNG.content,)


def test_the_deadline_holds_for_the_repetition_after_a_rotation_too(scripted):
    scripted.answer(reply(401, REFUSAL), hang)

    assert type(fail(connect(scripted.base_url, KEY, "sk-rotated"), seconds=SHORT)) is ProviderTimeout
    assert len(scripted.requests) == 2


def test_a_secret_that_fails_after_a_timeout_does_not_hide_that_the_call_may_have_been_billed(scripted):
    throttled = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")
    hours = itertools.count(step=3600)  # the secret has grown old whenever somebody looks at it
    secret = Secret(Secrets(KEY, throttled), "provider", clock=lambda: float(next(hours)))
    scripted.answer(hang)

    failure = fail(Provider(scripted.base_url, ProviderKey(secret)), seconds=SHORT)

    assert type(failure) is ProviderTimeout
    assert not failure.retryable


def test_a_call_whose_deadline_has_passed_is_not_sent(scripted):
    failure = fail(connect(scripted.base_url), seconds=-1)

    assert not scripted.requests
    assert type(failure) is ProviderUnreachable


def test_a_call_whose_deadline_has_passed_was_not_billed_and_may_be_made_later(scripted):
    failure = fail(connect(scripted.base_url), seconds=-1)

    assert failure.retryable
    assert "may have been billed" not in failure.message


def test_a_provider_that_takes_a_large_picture_slowly_is_given_time_until_the_deadline(scripted, monkeypatch):
    monkeypatch.setattr(exchange_module, "CONNECT_SECONDS", SHORT)

    def read_slowly(connection):
        scripted.pause(3 * SHORT)
        with connection.makefile("rb") as stream:
            scripted.requests[-1] = read_request(stream)
        connection.sendall(reply(body=GOOD))

    read_slowly.unread = True
    scripted.answer(read_slowly)
    large = Picture(bytes(20_000_000), "image/png", 1, 1)

    answer = send(connect(scripted.base_url), ProviderCall("images/edits", {}, 1, 0, large))

    assert answer.images == (PNG.content,)


def test_a_server_that_drips_while_hands_are_shaken_is_left_at_the_deadline_and_nothing_was_sent(scripted):
    hung_up = threading.Event()

    def greet_slowly(connection):
        connection.sendall(b"\x16\x03\x03\x40\0")  # a TLS record that will have 16 kB
        try:
            drip(scripted, b"")(connection)
        except OSError:
            hung_up.set()

    greet_slowly.unread = True
    scripted.answer(greet_slowly)

    failure = fail(connect(scripted.base_url.replace("http", "https")), seconds=SHORT)

    assert (type(failure), failure.retryable) == (ProviderUnreachable, True)
    assert hung_up.wait(LONG)


def test_the_pictures_that_came_before_the_deadline_are_handed_over_although_the_answer_has_no_end(scripted):
    def send_all_but_the_end(connection):
        connection.sendall(reply(body=WHOLE[:-1], Content_Length=len(WHOLE)))
        hang(connection)

    scripted.answer(send_all_but_the_end)
    places = {}

    with pytest.raises(ProviderTimeout):
        connect(scripted.base_url).send(CALL, deadline=time.monotonic() + SHORT, take=places.__setitem__)

    assert places == {0: PNG.content}
