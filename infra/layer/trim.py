"""Take out of the dependencies layer what no function reads: `python trim.py FOLDER`.

botocore describes 440 services in its data folder, looks through all of it for the first client, and reads what a
client can do from megabytes of JSON. The functions use five services, and few operations of each.
"""

import gzip
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

OPERATIONS = {  # what the functions call; test_layer.py reads it from their sources
    "dynamodb": {"GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"},
    "events": {"PutEvents"},
    # botocore itself signs forms as CreateBucket, and asks for HeadBucket where a bucket is in another region.
    "s3": {"CreateBucket", "GetObject", "HeadBucket", "HeadObject", "ListObjectsV2", "PutObject"},
    "secretsmanager": {"GetSecretValue"},
    "sqs": {"ChangeMessageVisibility", "SendMessage"},
}
MODELS = ("service-2", "endpoint-rule-set-1")  # no paginators, waiters or examples


def main(folder: Path) -> None:
    """Trim the packages in a folder."""
    shutil.rmtree(folder / "boto3" / "data")  # of boto3.resource
    data = folder / "botocore" / "data"
    for service in data.iterdir():
        if service.is_dir() and service.name not in OPERATIONS:
            shutil.rmtree(service)
    for path in sorted(data.glob("*/*/*")):
        if path.name.partition(".")[0] in MODELS:
            _rewrite(path, partial(_trimmed, operations=OPERATIONS[path.parts[-3]]))
        else:
            path.unlink()
    _rewrite(data / "endpoints.json", _with_our_services)


def _rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    path.unlink()
    target = path.with_suffix("") if path.suffix == ".gz" else path
    target.write_text(json.dumps(change(json.loads(text)), separators=(",", ":")))


def _trimmed(model: Any, operations: set[str]) -> Any:
    """Keep some operations of a service, the shapes they are made of, and no documentation."""
    if "operations" in model:
        model["operations"] = {
            name: model["operations"][name] for name in sorted(operations & set(model["operations"]))
        }
        used = set[str]()
        _find_shapes(model["operations"], model["shapes"], used)
        model["shapes"] = {name: shape for name, shape in model["shapes"].items() if name in used}
    return _without_documentation(model)


def _find_shapes(part: Any, shapes: dict[str, Any], used: set[str]) -> None:
    """Add the names of all shapes that a part of a model refers to."""
    if isinstance(part, list):
        for element in part:
            _find_shapes(element, shapes, used)
    elif isinstance(part, dict):
        name = part.get("shape")
        if isinstance(name, str) and name in shapes and name not in used:
            used.add(name)
            _find_shapes(shapes[name], shapes, used)
        for element in part.values():
            _find_shapes(element, shapes, used)


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
            name: partition["services"][name] for name in OPERATIONS if name in partition["services"]
        }
    return endpoints


if __name__ == "__main__":
    main(Path(sys.argv[1]))
