"""Say where the Studio of the local stack is and what key opens it, and open it where there is a display."""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from infra.local.build import ROOT
from infra.local.processes import StackError
from infra.local.running import RunningStack


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Tell whether a browser would be seen by anybody; Linux says so by DISPLAY or WAYLAND_DISPLAY."""
    return platform in {"darwin", "win32"} or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def main() -> None:
    """Print the address and the key, and open the browser."""
    parser = argparse.ArgumentParser(description="The Studio of the local stack.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    try:
        stack = RunningStack(parser.parse_args().folder / "stack.json")
    except StackError as error:
        sys.exit(f"{error}")
    print(f"The Studio is at {stack['studio_url']}")
    print(f"  its key is     {stack['api_key']}")
    if has_display(os.environ, sys.platform):
        subprocess.run([sys.executable, "-m", "webbrowser", stack["studio_url"]], check=False)


if __name__ == "__main__":
    main()
