"""The direction of dependencies, read from the imports: inner modules never know the outer ones."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "functions" / "variations"

# Each layer may import from those below it, and from itself; the last two rows know nobody but `errors`.
LAYERS = [
    {"wiring", "http_api", "job_answers", "telemetry"},
    {
        "aws_clients",
        "budget",
        "breaker",
        "front_door",
        "history",
        "claims",
        "provider",
        "exchange",
        "request_body",
        "storage",
        "jobs",
        "table",
        "keys",
        "http_body",
        "remote_pictures",
    },
    {"service"},
    {"rounds"},
    {"interpreter"},
    {"preparation", "messages"},
    {"manifest", "orders", "protocols", "images", "options", "models_list", "settings"},
    {"dialects"},
    {"decoding"},
    {"model", "fields", "image_stream", "base64_text", "containers", "isobmff", "metadata", "storing"},
    {"errors"},
]
PURE = {
    "service",
    "rounds",
    "protocols",
    "interpreter",
    "manifest",
    "messages",
    "dialects",
    "images",
    "options",
    "models_list",
    "settings",
}
PURE |= {"image_stream", "base64_text", "containers", "storing", "preparation", "orders", "model", "fields", "errors"}
PURE |= {"decoding", "isobmff", "metadata"}
OUTSIDE_WORLD = {"boto3", "botocore", "requests", "urllib3", "os", "socket", "aws_lambda_powertools"}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield pytest.param(parts[0], path, id="/".join(parts))


def imports(path):
    """Yield (first name of the package's own module or None, first name of a foreign module or None)."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((None, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield None, node.module.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((name.partition(".")[0], None) for name in names)


def layer(name):
    return next(number for number, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_a_module_imports_only_from_its_own_layer_and_those_below(name, path):
    own = {imported for imported, _ in imports(path) if imported}

    assert not [imported for imported in own if layer(imported) < layer(name)]


@pytest.mark.parametrize(("name", "path"), list(modules()))
def test_the_rules_and_use_cases_touch_no_aws_no_network_and_no_environment(name, path):
    foreign = {imported for _, imported in imports(path) if imported}

    if name in PURE:
        assert not foreign & OUTSIDE_WORLD


def test_only_wiring_reads_the_environment():
    readers = [path.name for path in (ROOT / "functions").rglob("*.py") if "os.environ" in path.read_text()]

    assert readers == ["wiring.py"]


NOBODY = {"aws_xray_sdk", "numpy", "openai", "pi_heif", "PIL", "pydantic", "requests"}  # when it starts
RESOLVER = "aws_lambda_powertools.event_handler.api_gateway"


@pytest.mark.parametrize(
    ("function", "forbidden"),
    [
        ("list_models", {"boto3", "variations.interpreter", "variations.service"}),
        ("authorize", {"boto3", "aws_lambda_powertools.event_handler", "variations.provider"}),
        ("create_variations", {"variations.provider", "variations.service", "variations.images"}),
        ("serve_studio", {"boto3", "variations.provider", "variations.service", "variations.images", "multipart"}),
        ("get_job", {"variations.provider", "variations.service", "variations.images", "multipart"}),
        ("generate_variations", {"boto3", RESOLVER, "multipart"}),
        ("process_jobs", {"boto3", RESOLVER, "multipart"}),
    ],
)
def test_a_function_does_not_import_what_it_does_not_use(function, forbidden):
    program = f"import sys, {function}; print('\\n'.join(sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "functions", capture_output=True, text=True, check=True, env={}
    )

    assert not (NOBODY | forbidden) & set(ended.stdout.split())
