"""Build what the local functions run on: with the recipes that `sam build` uses, for this machine.

The functions run under the real Lambda runtime client, and see nothing but their own code, the dependencies layer
and that client: a dependency that is missing from the layer is missing here too.
"""

import fcntl
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from infra.local.processes import StackError

ROOT = Path(__file__).resolve().parents[2]
NEEDED_BYTES = 500 * 1024**2
FIXED_TIME = (2026, 1, 1, 0, 0, 0)  # so that equal sources make equal archives
BOOTSTRAP = """\
#!/bin/sh
export PYTHONPATH="$LAMBDA_TASK_ROOT:{layer}/python:{runtime}"
exec "{python}" -S -m awslambdaric "$_HANDLER"
"""


def build_code(folder: Path) -> bytes:
    """Build the functions' package for a Lambda custom runtime, and what it runs on below `folder`.

    Returns:
        The zip: the sources, and a bootstrap that starts them with this Python.

    Raises:
        StackError: no room on the disk, or a recipe failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # as two stacks of one checkout may come up at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _build_code(folder)


def _build_code(folder: Path) -> bytes:
    if shutil.disk_usage(folder).free < NEEDED_BYTES:
        raise StackError(f"There is less than {NEEDED_BYTES >> 20} MiB free on the disk of {folder}.")
    layer = _build_once(folder / "layer", sorted((ROOT / "infra/layer").iterdir()), _build_layer)
    runtime = _build_once(folder / "runtime", [ROOT / "requirements/runtime.txt"], _build_runtime)
    code = folder / "functions"
    shutil.rmtree(code, ignore_errors=True)
    code.mkdir()
    _make("functions", "build-functions", code)
    # The interpreter beneath the environment we run in, so that its packages stay out of the functions' sight.
    python = getattr(sys, "_base_executable", sys.executable)
    return _zip(code, BOOTSTRAP.format(layer=layer, runtime=runtime, python=python))


def _build_layer(target: Path) -> None:
    _make("infra/layer", "build-DependenciesLayer", target)


def _build_runtime(target: Path) -> None:
    options = ["-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--target", str(target)]
    _run([sys.executable, "-m", "pip", "install", *options, "--requirement", "requirements/runtime.txt"], ROOT)


def _build_once(target: Path, sources: list[Path], build: Callable[[Path], None]) -> Path:
    """Build into `target` unless it holds what these sources and this Python make."""
    contents = b"".join(source.read_bytes() for source in sources if source.is_file())
    wanted = hashlib.sha256(contents + sys.version.encode()).hexdigest()
    mark = target / ".built-from"
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        build(target)
        mark.write_text(wanted)
    return target


def _make(folder: str, goal: str, artifacts: Path) -> None:
    _run(["make", "-s", goal, f"ARTIFACTS_DIR={artifacts}", "TARGET=local", f"PYTHON={sys.executable}"], ROOT / folder)


def _run(command: list[str], folder: Path) -> None:
    # Without make's own variables, or a `make -n up` would reach into here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StackError(f"`{' '.join(command[:4])}` failed in {folder}:\n{(ended.stderr or ended.stdout)[-2000:]}")


def _zip(code: Path, bootstrap: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(path for path in code.rglob("*") if path.is_file()):
            _add(package, path.relative_to(code).as_posix(), path.read_bytes(), 0o644)
        _add(package, "bootstrap", bootstrap.encode(), 0o755)
    return archive.getvalue()


def _add(package: zipfile.ZipFile, name: str, content: bytes, mode: int) -> None:
    entry = zipfile.ZipInfo(name, FIXED_TIME)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    package.writestr(entry, content)
