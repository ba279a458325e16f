"""A storm over a worker: many uploads at once, a provider that fails now and then, workers that are shot at random.

What happens is drawn from a seed and goes by the calls that the provider has seen, not by the clock: so a slow machine
sees the same storm as a fast one, and so does another worker that is put through it (tests/bench).
"""

import io
import itertools
import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from PIL import Image

SEED = 20261125
PICTURES = 300
VARIATIONS = 2
SIZE = "256x256"
KILLS = 10
LEASE_SECONDS = 40  # the functions' timeout: so long a dead worker's job is out of reach
HIDDEN_SECONDS = LEASE_SECONDS + 5  # and its message a little longer, wherever in its life the worker died
STORM_SECONDS = 600.0  # far more than it takes: enough for a machine that others use too
UPLOADS_AT_ONCE = 10  # as many connections as a boto3 client keeps
EVERY = 8  # with the count begun anew at each kill, about a tenth of all calls are disturbed
FAULTS = (  # none of them ends a job for good in the first place
    {"status": 503},
    {"latency_seconds": 3.0},  # paid for, and a while until the answer comes: a bad moment to be shot
    {"status": 429, "headers": {"Retry-After": "1"}},
    {"status": 500},
    {"latency_seconds": 1.0},
)


def draw(number):
    """Draw a small picture that is like no other one of the storm."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256 * 64, number * 7 % 256)).save(buffer, "PNG")
    return buffer.getvalue()


def workers(endpoint: str, handler: str) -> list[int]:
    """Return the processes of one stack, known by its endpoint, that run a handler."""
    mark, found = f"AWS_ENDPOINT_URL={endpoint}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended, or is none of ours
            if handler.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found += [int(folder.name)] if mark in (folder / "environ").read_bytes().split(b"\0") else []
    return sorted(found)


def rage(stack, handler: str, upload: Callable[[int], object], seed: int = SEED) -> list[str]:
    """Upload all pictures, and shoot a worker at KILLS moments while they are worked off; the faults change with it.

    Args:
        stack: tests.e2e.conftest.Stack.
        handler: what the workers to be shot run, such as process_jobs.handler.
        upload: takes the number of a picture and puts it where it starts a job.
        seed: of the moments and the victims.

    Returns:
        What was done to whom.
    """
    chance, faults, done = random.Random(seed), itertools.cycle(FAULTS), []
    moments = sorted(chance.sample(range(PICTURES // 20, PICTURES - PICTURES // 20), KILLS))
    stack.fault(every=EVERY, **next(faults))
    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        uploads = [pool.submit(upload, number) for number in range(PICTURES)]
        for moment in moments:
            stack.wait_until(lambda moment=moment: len(stack.calls()) >= moment)
            stack.wait_until(lambda: workers(stack["aws_endpoint"], handler))
            with suppress(ProcessLookupError):  # its time was up
                victim = chance.choice(workers(stack["aws_endpoint"], handler))
                os.kill(victim, signal.SIGKILL)
                done.append(f"after {moment} calls: {victim}")
            stack.fault(every=EVERY, **next(faults))
        for put in uploads:
            put.result()
    stack.fault()
    return done
