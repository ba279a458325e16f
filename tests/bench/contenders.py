"""Say who is measured, and prepare for each what it runs on: its own code, its own packages, the same trust.

All run on the interpreter beneath the project's environment, with `-S -P` and a PYTHONPATH of their own, as Lambda
runs handlers: nothing but their folder and their packages is in sight.
"""

import compileall
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.build import build_code
from infra.local.template import read_template
from tests.bench.stub_process import ROOT

FOLDER = ROOT / ".local" / "bench"
BUILT = FOLDER / "build"
PYTHON = str(getattr(sys, "_base_executable", sys.executable))
ENVIRONMENTS = Path(sys.prefix).parent  # .local/env/<version>
PACKAGES = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
REFERENCE = "openai_sdk"


@dataclass(frozen=True)
class Contender:
    """A worker: the module with its `handler`, the kind of event it takes, and what is on its PYTHONPATH."""

    name: str
    module: str
    event: str
    paths: tuple[Path, ...]
    variables: dict[str, str] = field(default_factory=dict)  # which its template gives it alone

    def environment(self, origin: str, n: int) -> dict[str, str]:
        """Return all of its environment: what a template gives a function, and the stub instead of the world."""
        return {
            **worker_environment(origin, n),
            **self.variables,
            "PYTHONPATH": os.pathsep.join(map(str, self.paths)),
            "AWS_CA_BUNDLE": str(BUNDLE),
            "REQUESTS_CA_BUNDLE": str(BUNDLE),
            "SSL_CERT_FILE": str(BUNDLE),
        }


BUNDLE = FOLDER / "bundle.pem"
CERTIFICATE = FOLDER / "stub.pem"


def worker_environment(origin: str, n: int) -> dict[str, str]:
    """Return what every worker finds in its environment, whoever it is and however the stub is trusted."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": origin,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # without it, LiteLLM asks GitHub for prices when it is imported
        "BENCH_QUEUE_EVENT": _event("process_jobs"),
        "BENCH_API_EVENT": _event("create_variations", body=""),
        "POWERTOOLS_SERVICE_NAME": "image-variations",
        "PROVIDER_BASE_URL": f"{origin}/v1",
        "PROVIDER_DIALECT": "auto",
        "PROVIDER_SECRET": "provider-secret",
        "CLIENT_KEYS_SECRET": "client-keys",
        "DEFAULT_MODEL": "gpt-image-1",
        "DEFAULT_SIZE": "1024x1024",
        "UPLOAD_VARIATIONS": str(n),
        "MAX_SOURCE_BYTES": "52428800",
        "MAX_SOURCE_MEGAPIXELS": "50",
        "SOURCE_METADATA": "strip",
        "RESULT_METADATA": "keep",
        "MAX_ATTEMPTS": "2",
        "DAILY_IMAGE_LIMIT": "0",
        "DAILY_IMAGE_LIMIT_PER_CALLER": "0",
        "REQUESTS_PER_MINUTE": "0",
        "PROVIDER_CALLS": "allowed",
        "RESULT_EXPIRATION_DAYS": "30",
        "RESULTS_BUCKET": "results-bucket",
        "JOBS_TABLE": "jobs-table",
        "JOBS_QUEUE_URL": f"{origin}/123456789012/jobs-queue",
        "DEAD_LETTER_QUEUE_URL": f"{origin}/123456789012/dead-letter-queue",
        "EVENT_BUS": "events-bus",
        "UPLOADS_BUCKET": "uploads-bucket",
        "UPLOAD_PREFIX": "uploads/",
        "API_TIMEOUT_SECONDS": "29",
    }


def worker_variables() -> dict[str, str]:
    """Return what template.yaml puts into the environment of our worker alone."""
    worker = read_template(ROOT / "template.yaml")["Resources"]["ProcessJobsFunction"]
    return dict(worker["Properties"]["Environment"]["Variables"])


def prepare_contenders() -> dict[str, Contender]:
    """Build our artifact, make the certificates, and return everybody by name.

    Raises:
        StackError: our artifact cannot be built.
    """
    build_code(BUILT)
    packages = BUILT / "layer" / "python"
    bench_python = ENVIRONMENTS / "bench" / "bin" / "python"
    authorities = str(packages / "certifi" / "cacert.pem")
    command = [str(bench_python), "-m", "tests.bench.certificates", str(FOLDER), authorities]
    subprocess.run(command, cwd=ROOT, check=True)
    trusting = FOLDER / "layer"
    shutil.rmtree(trusting, ignore_errors=True)
    shutil.copytree(packages, trusting)
    shutil.copyfile(BUNDLE, trusting / "certifi" / "cacert.pem")  # our provider connection trusts nothing else
    ours = (BUILT / "functions", trusting)
    return {
        "process_jobs": Contender("process_jobs", "process_jobs", "queue", ours, worker_variables()),
        "list_models": Contender("list_models", "list_models", "none", ours),
        "create_variations": Contender("create_variations", "create_variations", "none", ours),
        "boto3_only": _peer("boto3_only", "none"),
        "openai_sdk": _peer("openai_sdk", "queue"),
        "fastapi_mangum": _peer("fastapi_mangum", "api"),
        "litellm": _peer("litellm", "queue"),
    }


def _peer(name: str, event: str) -> Contender:
    """Compile a peer's handler as ours are, and find its packages."""
    code = FOLDER / "peers" / name
    code.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "peers" / name / "handler.py", code)
    compileall.compile_dir(code, quiet=1, force=True)
    return Contender(name, "handler", event, (code, ENVIRONMENTS / f"bench-{name}" / PACKAGES))


def _event(name: str, **changes: str) -> str:
    event = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return json.dumps(event | changes)
