"""Show the whole way of a picture on the local stack: upload it, wait for its manifest, fetch the variations.

    python -m infra.local.demo [--image PATH] [--n 4]

It does what a user would do with the AWS CLI, against a stack that is up, and knows nothing of what is inside.
"""

import argparse
import json
import sys
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from infra.local import contact_sheet, gallery
from infra.local.build import ROOT
from infra.local.processes import StackError
from infra.local.running import RunningStack

EXAMPLE = ROOT / "infra/local/pictures/coffee.jpg"
WAIT_SECONDS = 120.0
SHOWN_KINDS = {".png", ".jpg", ".jpeg", ".webp"}  # what browsers and Pillow both show as it is


class Demo:
    """One picture's way through the local stack that `description` (stack.json) tells of."""

    def __init__(self, description: Path) -> None:
        self.stack = RunningStack(description)
        self.folder = description.parent / "demo"
        self.log = description.parent / "run" / "emulator.log"

    def run(self, image: Path, n: int | None) -> dict[str, Any]:
        """Upload a picture, wait, and put everything that came of it into the demo folder.

        Args:
            image: any file; one that is no picture makes a failed job.
            n: 1 to 10 variations, or None for what the stack is set to.

        Returns:
            The manifest.

        Raises:
            StackError: there is no such file, or the job did not end in WAIT_SECONDS.
        """
        if not image.is_file():
            raise StackError(f"There is no file {image}.")
        key = f"{self.stack['upload_prefix']}{image.name}"
        print(f"Uploading {image} to s3://{self.stack['uploads_bucket']}/{key}")
        before = self.stack.manifests(f"{key}/").keys()
        self.stack.upload(image, key, **({"n": str(n)} if n else {}))
        manifest = self._wait(key, before)
        self._show(image, manifest)
        return manifest

    def _wait(self, key: str, before: Set[str]) -> dict[str, Any]:
        started = time.monotonic()
        while time.monotonic() - started < WAIT_SECONDS:
            new = self.stack.manifests(f"{key}/").keys() - before
            _progress(f"Waiting for the manifest ... {time.monotonic() - started:.0f} s")
            if new:
                _progress("")
                return self.stack.read_manifest(new.pop())
            time.sleep(0.2)
        raise StackError(f"No manifest after {WAIT_SECONDS:.0f} seconds, so the job waits. {_last_reason(self.log)}")

    def _show(self, image: Path, manifest: dict[str, Any]) -> None:
        """Write pictures, manifest, contact sheet and gallery, and say where they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in self.folder.iterdir():
            old.unlink()
        (self.folder / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False))
        if not manifest["results"]:
            print(f"The job {manifest['state']}: {manifest['error']['message']}")
            print(f"  manifest  {self.folder / 'manifest.json'}")
            return
        variations = []
        for result in manifest["results"]:
            variations.append(self.folder / result["key"].rpartition("/")[2])
            variations[-1].write_bytes(self.stack.read(result["key"]))
        source = _copy_of(image, self.folder)
        captions = [f"{place} · {made['width']}x{made['height']}" for place, made in enumerate(manifest["results"], 1)]
        contact_sheet.draw(source, variations, title=image.name, captions=captions).save(self.folder / "sheet.png")
        page = gallery.write(self.folder, manifest, source, variations)
        made = f"{len(variations)} variation{'s' * (len(variations) > 1)}"
        print(f"The job {manifest['state']}: {made} of {image.name} in {manifest['timings']['provider_seconds']:.1f} s")
        print(f"  contact sheet  {self.folder / 'sheet.png'}")
        print(f"  gallery        {page}")
        print(
            f"  in S3          s3://{self.stack['results_bucket']}/{manifest['results'][0]['key'].rpartition('/')[0]}/"
        )


def _copy_of(image: Path, folder: Path) -> Path:
    """Copy the source as it is where a browser shows it; a GIF, AVIF or HEIC as PNG."""
    copy = folder / f"source{image.suffix.lower()}"
    if copy.suffix in SHOWN_KINDS:
        copy.write_bytes(image.read_bytes())
        return copy
    import pi_heif  # noqa: PLC0415 - loads libheif, which few pictures need

    pi_heif.register_heif_opener()
    with Image.open(image) as picture:
        ImageOps.exif_transpose(picture).save(copy.with_suffix(".png"))
    return copy.with_suffix(".png")


def _last_reason(log: Path) -> str:
    """Return why the worker put a job back the last time, if it did."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if '"reason":' in line]
    return f"The worker says: {json.loads(lines[-1])['reason']}" if lines else f"The log is {log}."


def _progress(line: str) -> None:
    if sys.stdout.isatty():
        print(f"\r\033[K{line}", end="", flush=True)


def main() -> None:
    """Run the demo from the command line."""
    parser = argparse.ArgumentParser(description="Make variations of a picture on the local stack.")
    parser.add_argument("--image", type=Path, default=EXAMPLE)
    parser.add_argument("--n", type=int)
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    options = parser.parse_args()
    try:
        demo = Demo(options.folder / "stack.json")
        manifest = demo.run(options.image, options.n)
    except StackError as error:
        sys.exit(f"{error}")
    print("Next: make studio, to do the same with pictures of yours on a page.")
    print(f"  {demo.stack['studio_url']}  (its key: {demo.stack['api_key']})")
    print("Or:   make demo IMAGE=your-picture.jpg N=2, or `make down` to stop the stack.")
    sys.exit(manifest["state"] == "failed")


if __name__ == "__main__":
    main()
