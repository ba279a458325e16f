"""Make the two AWS clients that such a function cannot do without, and nothing else: what init costs at least."""

from typing import Any

import boto3

s3 = boto3.client("s3")
secrets = boto3.client("secretsmanager")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Do nothing."""
    return {}
