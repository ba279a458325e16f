"""Write the hashed requirements files from pyproject.toml, and those of the benchmark: `make lock`.

uv resolves for every supported Python and platform at once, which pip cannot; what it writes is plain pip input.
"""

import subprocess
import sys
from pathlib import Path

LAYER = "infra/layer/requirements.txt"
OPTIONS = (
    "--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header"
)
PEERS = ("boto3_only", "openai_sdk", "fastapi_mangum", "litellm")
# The first is what ships; the next two must not differ from it. The rest live in environments of their own.
FILES = {
    LAYER: ["pyproject.toml"],
    "requirements/local.txt": ["pyproject.toml", "--group", "local", "--constraint", LAYER],
    "requirements/dev.txt": ["pyproject.toml", "--group", "dev", "--constraint", LAYER],
    "requirements/uv.txt": ["--group", "uv"],
    "requirements/runtime.txt": ["--group", "runtime"],
    "requirements/emulator.txt": ["--group", "emulator"],
    "requirements/sam.txt": ["--group", "sam"],
    "requirements/checkov.txt": ["--group", "checkov"],
    # What only `make bench` installs, each beside what it is for.
    **{
        f"{folder}/requirements.txt": [f"{folder}/requirements.in"]
        for folder in ("tests/bench", *(f"tests/bench/peers/{peer}" for peer in PEERS))
    },
}


def main() -> None:
    """Resolve every file; pins that are there stay unless pyproject.toml says otherwise."""
    for target, sources in FILES.items():
        command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS.split(), *sources, "--output-file", target]
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True)


if __name__ == "__main__":
    main()
