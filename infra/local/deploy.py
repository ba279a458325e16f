"""Deploy template.yaml itself to the emulator, and read back where everything is."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.local.build import ROOT, build_code
from infra.local.processes import StackError
from infra.local.template import packaged, resolved

STACK_NAME = "image-variations"
REGION = "us-east-1"
PACKAGES = "deployment-packages"  # a bucket
DEPLOY_SECONDS = 120.0


def session() -> boto3.Session:
    """Return a session with the emulator's credentials, whatever the environment or ~/.aws holds."""
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106


def deploy(endpoint: str, build_folder: Path, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Build the code, create or update the stack, and wait until it stands.

    Args:
        endpoint: base URL of the emulator.
        build_folder: where build results are kept for the next time.
        parameters: template parameter -> value.

    Returns:
        What stack.json says of the deployed part.

    Raises:
        StackError: a build step or a resource failed.
    """
    code = build_code(build_folder)
    aws = session()
    s3 = aws.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=PACKAGES)
    template = packaged(ROOT, f"s3://{PACKAGES}/{_upload(s3, code, 'zip')}", parameters)
    template_key = _upload(s3, json.dumps(template).encode(), "json")
    cloudformation = aws.client("cloudformation", endpoint_url=endpoint)
    # By its address, as CloudFormation takes no more than 51,200 bytes with the request itself.
    _create_or_update(cloudformation, f"{endpoint}/{PACKAGES}/{template_key}", parameters)
    outputs = _wait(cloudformation)
    resources = _resources(cloudformation)
    _put_gateway_responses(aws.client("apigateway", endpoint_url=endpoint), resources["Api"], template, parameters)
    secrets = aws.client("secretsmanager", endpoint_url=endpoint)
    keys = json.loads(secrets.get_secret_value(SecretId=outputs["ClientKeysSecret"])["SecretString"])
    return {
        "aws_endpoint": endpoint,
        "region": REGION,
        "api_url": f"{endpoint}/_aws/execute-api/{resources['Api']}/v1",
        "api_key": keys["default"],
        "studio_url": f"{endpoint}/_aws/execute-api/{resources['Api']}/v1/studio",
        "client_keys_secret": outputs["ClientKeysSecret"],
        "provider_secret": outputs["ProviderSecret"],
        "uploads_bucket": outputs["UploadsBucket"],
        "upload_prefix": outputs["UploadPrefix"],
        "results_bucket": outputs["ResultsBucket"],
        "jobs_queue_url": outputs["JobsQueueUrl"],
        "jobs_table": outputs["JobsTable"],
        "dead_letter_queue_url": outputs["DeadLetterQueueUrl"],
        "event_bus": outputs["EventBus"],
        "backfill_state_machine": outputs["BackfillStateMachine"],
        "completion_topic": outputs.get("CompletionTopic"),
        "example_state_machine": outputs.get("ExampleStateMachine"),
        "example_topic": outputs.get("ExampleTopic"),
        "functions": {name: resources[name] for name in sorted(resources) if name.endswith("Function")},
        "provider_base_url": parameters["ProviderBaseUrl"],
    }


def _upload(s3: Any, package: bytes, suffix: str) -> str:
    key = f"{hashlib.sha256(package).hexdigest()}.{suffix}"
    s3.put_object(Bucket=PACKAGES, Key=key, Body=package)
    return key


def _create_or_update(cloudformation: Any, template_url: str, parameters: Mapping[str, str]) -> None:
    wanted = {
        "StackName": STACK_NAME,
        "TemplateURL": template_url,
        "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    try:
        cloudformation.create_stack(**wanted)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**wanted)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise


def _wait(cloudformation: Any) -> dict[str, str]:
    deadline = time.monotonic() + DEPLOY_SECONDS
    while time.monotonic() < deadline:
        (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
        if stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            raise StackError(f"The stack ended as {stack['StackStatus']}: {_failures(cloudformation)}")
        time.sleep(0.05)
    raise StackError(f"The stack did not stand after {DEPLOY_SECONDS:.0f} seconds.")


def _failures(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    return "; ".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)


def _resources(cloudformation: Any) -> dict[str, str]:
    listed = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in listed}


def _put_gateway_responses(
    apigateway: Any, api_id: str, template: Mapping[str, Any], parameters: Mapping[str, str]
) -> None:
    """Set the gateway's own answers, which the emulator does not take from an API's definition."""
    for kind, response in template["Resources"]["Api"]["Properties"]["GatewayResponses"].items():
        written = response["ResponseParameters"]["Headers"]
        headers = {name: resolved(value, template, parameters) for name, value in written.items()}
        apigateway.put_gateway_response(
            restApiId=api_id,
            responseType=kind,
            responseTemplates=response["ResponseTemplates"],
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items() if value},
            **({"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}),
        )
    apigateway.create_deployment(restApiId=api_id, stageName=template["Resources"]["Api"]["Properties"]["StageName"])
