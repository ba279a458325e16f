"""Run one worker in this fresh process, and print what it took as one line of JSON.

Started as a file, with `-S -P` and nothing but the worker's own code on PYTHONPATH:

    python -S -P child.py MODULE EVENT WARM

EVENT is `queue` (a message of SQS about an upload), `api` (a request of API Gateway) or `none` (init alone), WARM the
number of invocations after the first. Nothing is imported that the worker would have to pay for otherwise.
"""

import sys
import time

TYPE_CHECKING = False  # as typing says it too, which is not imported
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

SECONDS_LEFT = 600


class Context:
    """What handlers read of the Lambda context."""

    function_name = "bench"
    memory_limit_in_mb = 1024
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:bench"
    aws_request_id = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        """Return what a function with the longest timeout of a queue's worker has left."""
        return SECONDS_LEFT * 1000


def main() -> None:
    """Measure init, the first invocation and the warm ones."""
    module, kind, warm = sys.argv[1], sys.argv[2], int(sys.argv[3])
    measured = {}
    seconds, cpu_seconds = time.perf_counter(), time.process_time()
    handler = __import__(module).handler
    measured["init_ms"] = (time.perf_counter() - seconds) * 1000
    measured["init_cpu_ms"] = (time.process_time() - cpu_seconds) * 1000
    measured["init_rss_mib"], measured["init_peak_mib"] = memory("VmRSS"), memory("VmHWM")
    if kind != "none":
        measured |= invoke(handler, kind, warm)
        measured["cold_ms"] = measured["init_ms"] + measured["first_ms"]
        measured["peak_mib"] = memory("VmHWM")
        measured["growth_mib"] = measured["peak_mib"] - measured["init_peak_mib"]
    import json

    sys.stdout.write("\n" + json.dumps(measured) + "\n")
    sys.stdout.flush()
    import os

    os._exit(0)


def invoke(handler: "Callable[[Any, Context], dict[str, Any]]", kind: str, warm: int) -> dict[str, float]:
    """Invoke a handler for one picture after the other; return milliseconds, of the warm ones their medians."""
    import os
    from statistics import median

    wall, cpu = [], []
    for event in [make_event(kind, f"{os.getpid()}-{number}", os.environ) for number in range(1 + warm)]:
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        answer = handler(event, Context())
        wall.append((time.perf_counter() - seconds) * 1000)
        cpu.append((time.process_time() - cpu_seconds) * 1000)
        if answer.get("batchItemFailures") or answer.get("statusCode", 200) != 200:
            raise SystemExit(f"The worker failed: {answer}")
    measured = {"first_ms": wall[0], "first_cpu_ms": cpu[0]}
    return measured | ({"warm_ms": median(wall[1:]), "warm_cpu_ms": median(cpu[1:])} if warm else {})


def make_event(kind: str, name: str, environment: "Mapping[str, str]") -> "dict[str, Any]":
    """Return the event about a picture of that name, which no worker has seen before."""
    import json

    key = f"uploads/{name}.png"
    if kind == "api":
        request = {"bucket": "uploads-bucket", "key": key, "n": int(environment["UPLOAD_VARIATIONS"])}
        return {**json.loads(environment["BENCH_API_EVENT"]), "body": json.dumps(request)}
    event: dict[str, Any] = json.loads(environment["BENCH_QUEUE_EVENT"])
    (record,) = event["Records"]
    told = json.loads(record["body"])
    del told["detail"]["object"]["etag"]
    told["detail"]["object"]["key"] = key
    record["body"] = json.dumps(told)
    record["attributes"]["SentTimestamp"] = str(int(time.time() * 1000))
    return event


def memory(name: str) -> float:
    """Return a figure of this process in MiB: VmRSS as it is now, VmHWM as it was at most."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name + ":"))


if __name__ == "__main__":
    main()
