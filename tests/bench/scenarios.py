"""Say what is measured: how many pictures of what size, over which network, by whom, and how often."""

from dataclasses import dataclass, replace

from tests.bench.contenders import REFERENCE

MIB = 1024**2
US = "process_jobs"
WORKERS = (US, REFERENCE, "fastapi_mangum", "litellm")
INITS = ("boto3_only", US, "list_models", "create_variations", *WORKERS[1:])
FLOOR = "floor"


@dataclass(frozen=True)
class Scenario:
    """One comparison, of a kind: `init` alone, `work` on pictures, `growth` of memory, or `cold` starts.

    `size` is the bytes of a picture, `put_latency` seconds, `bandwidth` bytes a second from the provider (0: no
    limit), `warm` how many invocations follow the first one, `repetitions` how many fresh processes each gets.
    """

    kind: str
    name: str
    title: str
    contenders: tuple[str, ...]
    n: int = 1
    size: int = 3 * MIB // 2
    put_latency: float = 0.0
    bandwidth: float = 0.0
    warm: int = 5
    repetitions: int = 5


def choose(counts: list[int], sizes: list[float], repetitions: int, warm: int, *, litellm: bool) -> list[Scenario]:
    """Return the scenarios in their order.

    Args:
        counts: pictures a call, e.g. 1, 4 and 10.
        sizes: MiB of a picture: the first for throughput, the last for peak memory.
        repetitions: fresh processes for each worker; init alone gets three times as many.
        warm: invocations after the first one.
        litellm: let LiteLLM, which takes two seconds to start, take part where the most pictures are made too.
    """
    most, everybody = max(counts), WORKERS if litellm else WORKERS[:-1]
    fast = [
        Scenario(
            "work", f"fast_{n}", f"{_pictures(n, sizes[0])}, no latency", everybody if n == most else WORKERS[:-1], n
        )
        for n in counts
    ]
    slow = [
        replace(
            scenario,
            name=f"slow_{scenario.n}",
            title=f"{_pictures(scenario.n, sizes[0])}, PUT 40 ms, provider 40 MB/s",
            put_latency=0.04,
            bandwidth=40e6,
        )
        for scenario in fast
    ]
    measured = [replace(scenario, size=int(sizes[0] * MIB), warm=warm) for scenario in (*fast, *slow)]
    memory = Scenario(
        "work", "memory", _pictures(most, sizes[-1]), everybody, most, int(sizes[-1] * MIB), warm=min(2, warm)
    )
    growth = [
        Scenario(
            "growth",
            f"growth_{n}_{size:g}",
            f"{_pictures(n, size)}, PUT 40 ms",
            (US, REFERENCE),
            n,
            int(size * MIB),
            put_latency=0.04,  # so that pictures wait, as they do at S3
            warm=1,
        )
        for n, size in ((2, 4.5), (10, 0.75), (10, 4.5))
    ]
    starting = INITS if litellm else INITS[:-1]
    return [
        Scenario("init", "init", "Init alone", starting, repetitions=3 * repetitions),
        *(replace(scenario, repetitions=repetitions) for scenario in (*measured, memory, *growth)),
        Scenario("cold", "cold", "Cold start under Lambda's runtime client", starting, repetitions=repetitions),
    ]


def _pictures(n: int, size: float) -> str:
    return f"{n} picture{'s' if n > 1 else ''} of {size:g} MiB"
