"""A whole bucket goes through the queue, each picture once, whatever dies on the way."""

import io
import os
import signal

import pytest
from PIL import Image

from infra.local import backfill
from infra.local.processes import StackError
from infra.local.running import RunningStack
from tests.e2e.storm import workers

MANY = 500
OPTIONS = {"n": 1, "size": "256x256"}
WORK_SECONDS = 240.0


def draw(number):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number * 7 % 256, number * 13 % 256)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def running(stack):
    """The stack as its users talk to it."""
    return RunningStack(stack.local.description)


def put(stack, prefix, count):
    """Put so many different pictures below a prefix that no rule watches."""
    for number in range(count):
        key = f"{prefix}{number:03} a+b%20ü.png"
        stack.s3.put_object(Bucket=stack["uploads_bucket"], Key=key, Body=draw(number))


def work_off(running, at_every_look=lambda left: None):
    for left in running.work_off(WORK_SECONDS):
        at_every_look(left)


def manifests(running, prefix):
    return [running.read_manifest(key) for key in running.manifests(prefix)]


@pytest.mark.usefixtures("short_lease")
def test_five_hundred_pictures_make_five_hundred_manifests_though_a_worker_is_killed_and_again_nothing(stack, running):
    put(stack, "many/", MANY)
    killed = []

    def kill_one(left):
        if not killed and left < MANY * 0.95:
            killed.extend(workers(stack["aws_endpoint"], "process_jobs.handler")[:1])
            os.kill(killed[0], signal.SIGKILL)

    backfill.queue(running, {"prefix": "many/", "options": OPTIONS})
    work_off(running, kill_one)

    made = manifests(running, "many/")
    assert len(killed) == 1
    assert len({manifest["source"]["key"] for manifest in made}) == len(made) == MANY
    assert {manifest["state"] for manifest in made} == {"succeeded"}
    paid = len(stack.calls())
    assert paid <= MANY + 1, "the call that died with its worker may have been made again"

    backfill.queue(running, {"prefix": "many/", "options": OPTIONS})
    work_off(running)

    assert len(stack.calls()) == paid
    assert len(running.manifests("many/")) == MANY
    assert not running.waiting("dead_letter_queue_url")


def test_what_was_uploaded_is_not_made_again_by_a_backfill_of_the_upload_prefix(stack, running):
    for number in range(3):
        stack.vary(f"backfilled/{number}.png", draw(number), n="1", size="256x256")
    paid = len(stack.calls())

    backfill.queue(running, {"prefix": "uploads/backfilled/"})
    work_off(running)

    assert len(stack.calls()) == paid
    assert len(running.manifests("uploads/backfilled/")) == 3


def test_what_failed_is_tried_again_under_a_new_id_and_nothing_else(stack, running):
    put(stack, "again/", 4)
    stack.fault(status=401, times=2)
    backfill.queue(running, {"prefix": "again/", "options": OPTIONS})
    work_off(running)
    failed = [manifest for manifest in manifests(running, "again/") if manifest["state"] == "failed"]
    assert failed
    paid = len(stack.calls())

    backfill.queue(running, {"prefix": "again/", "options": OPTIONS, "id": "second try"})
    work_off(running)

    assert len(stack.calls()) - paid == len(failed)
    good = [manifest for manifest in manifests(running, "again/") if manifest["state"] == "succeeded"]
    assert len({manifest["source"]["key"] for manifest in good}) == len(good) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("list.csv", "key,n,prompt\nlisted/000 a+b%20ü.png,2,\nlisted/001 a+b%20ü.png,,red\n", id="CSV"),
        pytest.param(
            "list.jsonl",
            '{"key": "listed/000 a+b%20ü.png", "n": 2}\n{"key": "listed/001 a+b%20ü.png", "prompt": "red"}\n',
            id="JSON lines",
        ),
    ],
)
def test_a_list_names_the_pictures_and_what_is_wanted_of_each(stack, running, name, content):
    put(stack, "listed/", 3)
    stack.s3.put_object(Bucket=stack["uploads_bucket"], Key=f"lists/{name}", Body=content.encode())
    before = running.manifests("listed/").keys()
    manifest = f"s3://{stack['uploads_bucket']}/lists/{name}"

    backfill.queue(running, {"manifest": manifest, "options": {**OPTIONS, "user": name}})
    work_off(running)

    made = [running.read_manifest(key) for key in running.manifests("listed/").keys() - before]
    requests = {made["source"]["key"][:10]: made["request"] for made in made}
    assert requests.keys() == {"listed/000", "listed/001"}
    assert (requests["listed/000"]["n"], requests["listed/000"]["prompt"]) == (2, None)
    assert (requests["listed/001"]["n"], requests["listed/001"]["prompt"]) == (1, "red")


@pytest.mark.parametrize("request_", [{}, {"manifest": "list.csv"}, {"manifest": "s3://bucket/list.txt"}])
def test_a_backfill_of_nothing_says_what_it_takes(running, request_):
    with pytest.raises(StackError, match='Name the pictures by "prefix" or "manifest"'):
        backfill.queue(running, request_)
