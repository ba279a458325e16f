"""Find the Chromium that the tests of the page drive, and install it if one command can: `python -m infra.browser`.

It is the system's own: Playwright's own builds are for it to download, and belong to no package manager that would
update them. Where there is none, tests that need it are skipped, except in CI, where that would go unnoticed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "No Chromium was found, which the tests of the page need. Install it (Debian: apt-get install chromium, "
    "Mac: brew install --cask chromium), or say where it is: CHROMIUM=/path/to/chrome make test"
)
INSTALL_SECONDS = 300.0


def find(environ: Mapping[str, str]) -> str | None:
    """Return the path of a browser that starts, or None.

    Args:
        environ: CHROMIUM in it, a path or a name, is all that is tried; else the usual names are looked for on PATH.
    """
    wanted = (environ["CHROMIUM"],) if environ.get("CHROMIUM") else NAMES
    found = (shutil.which(name, path=environ.get("PATH")) for name in wanted)
    return next((path for path in found if path and _starts(path)), None)


def required(environ: Mapping[str, str]) -> bool:
    """Say whether a missing browser is a failure, as in CI."""
    return environ.get("CI", "").lower() not in {"", "0", "false"}


def install(environ: Mapping[str, str]) -> None:
    """Install Chromium where we may and it is one command: as root, where there is apt-get.

    What apt-get says is shown; that it failed is seen by the browser which is still not there.
    """
    apt = shutil.which("apt-get", path=environ.get("PATH"))
    if not apt or os.geteuid() != 0:
        return
    print("Installing Chromium (once, about 20 seconds) ...", flush=True)
    quietly = {**environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in ("update", "install --yes --no-install-recommends chromium"):
        command = [apt, "-qq", *words.split()]
        subprocess.run(command, env=quietly, stdout=subprocess.DEVNULL, timeout=INSTALL_SECONDS, check=False)


def _starts(path: str) -> bool:
    """Tell a browser from Ubuntu's package of that name, which only says that it is a snap."""
    return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0


def main(environ: Mapping[str, str]) -> None:
    """Make sure that there is a browser; exit with 1 if there is none and CI wants one."""
    if find(environ):
        return
    if not environ.get("CHROMIUM"):
        install(environ)
    if not find(environ):
        if required(environ):
            sys.exit(MISSING)
        print(MISSING)


if __name__ == "__main__":
    main(os.environ)
