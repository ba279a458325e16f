"""What the worker takes of its container: in a process of its own, against a stub of everything it talks to."""

import os
import sys
from types import SimpleNamespace

import pytest

from tests.bench.contenders import worker_environment, worker_variables
from tests.bench.runner import CHILD, measure_child
from tests.bench.stub_process import check_stored, running_stub
from tests.conftest import ROOT

PICTURE_BYTES = 1_572_864
BODY_MIB = 20.0  # of an answer with ten of them, as base64
# 36 MiB on 2026-11-26, most of them for what is made on first use: clients, Pillow. With the body in memory it was 94.
FIRST_JOB_MIB = 55.0
COUNTING = """
from pathlib import Path
from botocore.session import Session

made, make = [], Session.__init__

def counted(session, *args, **options):
    made.append(session)
    make(session, *args, **options)

Session.__init__ = counted
import process_jobs

def handler(event, context):
    answer = process_jobs.handler(event, context)
    Path(__file__).with_name("sessions").write_text(str(len(made)))
    return answer
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Let a fresh worker make some pictures, and tell what came of it."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "counting.py").write_text(COUNTING)

    def work(stub, n):
        sent = stub.play(n, PICTURE_BYTES)
        environment = worker_environment(stub.origin, n) | worker_variables()
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT / "functions")])
        took = measure_child("the worker", [sys.executable, "-P", CHILD, "counting", "queue", "0"], environment)
        sessions = int((folder / "sessions").read_text())
        return SimpleNamespace(sent=sent, stored=stub.take_stored(), mib=took["growth_mib"], sessions=sessions)

    with running_stub() as stub:
        yield SimpleNamespace(one=work(stub, 1), ten=work(stub, 10))


def test_what_is_stored_are_the_very_bytes_that_the_provider_sent(work):
    assert len(work.ten.sent) == 10
    check_stored(work.ten.stored, work.ten.sent, invocations=1)


def test_all_aws_clients_share_one_session(work):
    assert work.ten.sessions == 1


def test_ten_pictures_take_less_memory_than_their_body_has_bytes(work):
    assert work.ten.mib - work.one.mib < BODY_MIB


def test_the_first_job_takes_little_memory_beyond_what_init_left(work):
    assert work.ten.mib < FIRST_JOB_MIB
