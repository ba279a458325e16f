"""What users do to deploy, and to remove it: sam build, sam deploy, sam delete, here with the emulator."""

import json
import os
import subprocess
import sys

import pytest
import requests

from infra.local.build import ROOT
from infra.local.deploy import session

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SAM = ROOT / ".local/env" / VERSION / "sam/bin/sam"
STACK_NAME = "deployed-by-sam"


@pytest.fixture(scope="module")
def sam(running_stack, tmp_path_factory):
    """Run a sam command against the emulator, with nothing of this machine's AWS configuration."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHON": sys.executable,
        "SAM_CLI_TELEMETRY": "0",
        "AWS_ENDPOINT_URL": running_stack["aws_endpoint"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": running_stack["region"],
    }
    # Where this machine's pip finds its packages is pip's own business.
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def run(*arguments):
        ended = subprocess.run(
            [SAM, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    return run


@pytest.fixture(scope="module")
def build(sam, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam-build")
    sam("build", "--build-dir", str(folder))
    return folder


def test_sam_builds_the_layer_for_python_3_13_on_arm64(build):
    compiled = [path.name for path in (build / "DependenciesLayer" / "python").rglob("*.so")]

    assert [name for name in compiled if "_imaging.cpython-313-aarch64" in name]
    assert not [name for name in compiled if "x86_64" in name]


def test_sam_builds_every_function_from_the_same_sources_alone(build):
    for function in ("ProcessJobsFunction", "ListModelsFunction", "AuthorizeFunction"):
        built = {path.name for path in (build / function).iterdir()}
        assert {"process_jobs.py", "list_models.py", "authorize.py", "variations"} <= built
        assert not built & {"tests", "infra", "template.yaml", "PIL", "boto3", "Makefile"}


def test_what_sam_deploys_answers_its_api(sam, build, running_stack):
    overrides = f"ProviderBaseUrl={running_stack['provider_base_url']} ProviderApiKey=sk-local"
    sam(
        *("deploy", "--template-file", str(build / "template.yaml"), "--config-file", str(ROOT / "samconfig.toml")),
        *("--stack-name", STACK_NAME, "--no-confirm-changeset", "--parameter-overrides", overrides),
    )

    aws, endpoint = session(), running_stack["aws_endpoint"]
    cloudformation = aws.client("cloudformation", endpoint_url=endpoint)
    resources = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    secrets = aws.client("secretsmanager", endpoint_url=endpoint)
    secret = secrets.get_secret_value(SecretId=names["ClientKeysSecret"])["SecretString"]
    url = f"{endpoint}/_aws/execute-api/{names['Api']}/v1/models"
    headers = {"Authorization": f"Bearer {json.loads(secret)['default']}"}

    answer = requests.get(url, headers=headers, timeout=60)

    assert answer.status_code == 200, answer.text
    assert [model["id"] for model in answer.json()["data"]] == ["local-style-transfer", "local-text-only"]
    assert requests.get(url, timeout=60).status_code == 401


def test_sam_deletes_everything_but_the_buckets_with_pictures(sam, running_stack):
    cloudformation, s3 = running_stack.client("cloudformation"), running_stack.s3
    resources = cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    s3.put_object(Bucket=names["UploadsBucket"], Key="cat.jpg", Body=b"")

    sam("delete", "--stack-name", STACK_NAME, "--no-prompts", "--region", running_stack["region"])

    assert STACK_NAME not in {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=names["UploadsBucket"])["Contents"]] == ["cat.jpg"]
    assert s3.list_objects_v2(Bucket=names["ResultsBucket"])["KeyCount"] == 0
