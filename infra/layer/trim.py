"""Take out of the dependencies layer what no function reads: `python trim.py FOLDER`.

botocore describes 440 services in its data folder and looks through all of it for the first client; the functions use
five. Of those the documentation goes too, and the rest is written so that `json` reads it fastest.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVICES = ("dynamodb", "events", "s3", "secretsmanager", "sqs")  # of which the functions make clients
MODELS = ("service-2", "endpoint-rule-set-1")  # no paginators, waiters or examples


def main(folder: Path) -> None:
    """Trim the packages in a folder."""
    shutil.rmtree(folder / "boto3" / "data")  # of boto3.resource
    data = folder / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in SERVICES:
            shutil.rmtree(service)
    for path in sorted(data.glob("*/*/*")):
        if path.name.partition(".")[0] in MODELS:
            _rewrite(path, _without_documentation)
        else:
            path.unlink()
    _rewrite(data / "endpoints.json", _with_our_services)


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    path.unlink()
    target = path.with_suffix("") if path.suffix == ".gz" else path
    target.write_text(json.dumps(change(json.loads(text)), separators=(",", ":")))


def _without_documentation(model: Any) -> Any:
    """Empty every text of documentation; botocore reads some of them, so they stay (botocore 1.44.5, model.py)."""
    if isinstance(model, list):
        return [_without_documentation(element) for element in model]
    if isinstance(model, dict):
        return {
            key: "" if key == "documentation" and isinstance(value, str) else _without_documentation(value)
            for key, value in model.items()
        }
    return model


def _with_our_services(endpoints: Any) -> Any:
    for partition in endpoints["partitions"]:
        partition["services"] = {
            name: partition["services"][name] for name in SERVICES if name in partition["services"]
        }
    return endpoints


if __name__ == "__main__":
    main(Path(sys.argv[1]))
