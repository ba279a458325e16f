"""Start the AWS emulator with what it lacks for our template; runs in the emulator's own environment.

A Distributed Map heeds its ItemBatcher, and the SDK integration of SQS speaks SQS's JSON protocol: in the other one
the emulator writes lists in a way that SQS does not read. S3 says of a missing object that it is forbidden, to those
who may not list its bucket. An alarm over an expression is taken for one over the first of its metrics, as alarms never
go off there. All of it goes once the emulator does it itself; it reaches into the emulator, which the exact pin in
pyproject.toml makes safe.
"""

import sys
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.services import s3
from ministack.services import stepfunctions as engine
from ministack.services.cloudformation import provisioners

run_distributed_map = engine._run_distributed_map
enforce = iam_evaluator.enforce
describe_alarm = provisioners._cw_metric_alarm_record


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


def describe_math_alarm(name: str, properties: dict[str, Any]) -> Any:
    """Describe an alarm; of one over an expression the first metric in it."""
    measured = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", ()) if "MetricStat" in query]
    return describe_alarm(name, {**properties, "Metrics": None, **measured[0]} if measured else properties)


if __name__ == "__main__":
    iam_evaluator.enforce = enforce_as_s3_does
    provisioners._cw_metric_alarm_record = describe_math_alarm
    engine._run_distributed_map = run_in_batches
    engine._AWS_SDK_SERVICE_MAP["sqs"] = {"target_prefix": "AmazonSQS", "protocol": "json"}
    sys.exit(app.main())
