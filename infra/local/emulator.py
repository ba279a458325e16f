"""Start the AWS emulator with what it lacks for us; runs in the emulator's own environment.

A Distributed Map heeds its ItemBatcher, and the SDK integration of SQS speaks SQS's JSON protocol: in the other one
the emulator writes lists in a way that SQS does not read. S3 says of a missing object that it is forbidden, to those
who may not list its bucket. All three go once the emulator does them itself; they reach into it, which the exact pin in
pyproject.toml makes safe.
"""

import sys
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.services import s3
from ministack.services import stepfunctions as engine

run_distributed_map = engine._run_distributed_map
enforce = iam_evaluator.enforce


def run_in_batches(state: dict[str, Any], raw_input: Any, effective: Any, *others: Any) -> Any:
    """Run a Distributed Map that reads its items from S3 as AWS does, a child execution for each batch of items."""
    if not {"ItemReader", "ItemBatcher"} <= state.keys():
        return run_distributed_map(state, raw_input, effective, *others)
    ctx = others[-1]
    found = engine._read_map_items(state["ItemReader"], effective, ctx)
    contexts = [{**ctx, "Map": {"Item": {"Index": number, "Value": item}}} for number, item in enumerate(found)]
    items = [engine._resolve_params_obj(state["ItemSelector"], effective, context) for context in contexts]
    most = state["ItemBatcher"]["MaxItemsPerBatch"]
    batches = [{"Items": items[start : start + most]} for start in range(0, len(items), most)]
    rest = {name: value for name, value in state.items() if name not in {"ItemReader", "ItemBatcher", "ItemSelector"}}
    return run_distributed_map(rest, raw_input, batches, *others)


def enforce_as_s3_does(
    access_key: str, action: str, service: str, region: str, resource_arn: str = "*", **more: Any
) -> Any:
    """Return why a call is denied, None if it is not; for an object that is not there, listing is asked for too."""
    denied = enforce(access_key, action, service, region, resource_arn=resource_arn, **more)
    if denied or action not in {"s3:GetObject", "s3:GetObjectVersion"}:
        return denied
    bucket, _, key = resource_arn.removeprefix("arn:aws:s3:::").partition("/")
    if key in s3._buckets.get(bucket, {}).get("objects", {}):
        return None
    return enforce(access_key, "s3:ListBucket", service, region, resource_arn=f"arn:aws:s3:::{bucket}")


if __name__ == "__main__":
    iam_evaluator.enforce = enforce_as_s3_does
    engine._run_distributed_map = run_in_batches
    engine._AWS_SDK_SERVICE_MAP["sqs"] = {"target_prefix": "AmazonSQS", "protocol": "json"}
    sys.exit(app.main())
