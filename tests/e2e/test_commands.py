"""Every command in the documents, as it stands there, against the local stack: run it, or say below why not."""

import functools
import io
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.documents import DOCUMENTS, ROOT, shell
from tests.e2e.aws_cli import AwsCli, in_the_shell

BASH = shutil.which("bash")
PROGRAMS = ("cat", "cp", "curl", "date", "find", "grep", "mkdir", "mktemp", "rm", "sleep", "sort")
NOT_RUN = {  # how a command begins -> why it is not run
    "sam build": "test_sam.py runs it",
    "sam deploy": "test_sam.py runs it",
    "sam delete": "test_sam.py runs it",
    "git pull": "it would change this checkout",
    "git checkout": "as above",
    "make demo": "it installs, and a test starts the same stack",
    "make studio": "it opens a browser; test_studio.py uses the page it opens",
    "make test": "this is it",
    "make deploy": "sam build and sam deploy, see above",
    "make guard": "the emulator has nothing to update then; test_deployment.py makes its answers up",
    "make invoke": "test_pipelines.py sends the same events",
    "make backfill": "test_backfill.py does the same",
    "make redrive": "test_redrive.py does the same",
    "PROVIDER_BASE_URL=": "test_providers.py does the same",
    "for name in $names": "it asks osv.dev",
    "mv .local/advisories.json": "as above",
    "aws cloudformation wait stack-update-complete": "nothing is updated, and the real one would wait for an hour",
    "aws cloudformation cancel-update-stack": "nothing is updated",
    "aws cloudformation continue-update-rollback": "nothing is rolled back",
    "aws cloudformation deploy": "the emulator has no AWS::IAM::OIDCProvider",
    "aws cloudformation describe-stacks --stack-name image-variations-deploy-prod": "as above",
    "aws sqs start-message-move-task": "the emulator lacks it",
    "aws apigateway flush-stage-authorizers-cache": "the emulator lacks it",
}
OUTCOMES = {  # how a command begins -> what holds after it
    "aws s3 cp my-picture.jpg": lambda stack, _: made(stack, "uploads/my-picture.jpg", 4),
    "aws s3 cp --recursive": lambda _, folder: len(list(folder.glob("*/variation-*.png"))) == 4,
    "aws s3 cp shoe.jpg": lambda stack, _: made(stack, "uploads/shoe.jpg", 2),
    "aws events put-events": lambda stack, _: made(stack, "shoes/red.jpg", 2),
    'aws secretsmanager put-secret-value --secret-id "$(of ProviderSecret)"': lambda stack, _: (
        secret(stack, "provider_secret") == "sk-local"
    ),
    'aws secretsmanager put-secret-value --secret-id "$(of ClientKeysSecret)"': lambda stack, _: (
        json.loads(secret(stack, "client_keys_secret"))["shop"] == ["NEW-KEY", "OLD-KEY"]
    ),
    "move UndeliveredEventsQueue": lambda stack, _: all(made(stack, f"shoes/late-{n}.jpg", 1) for n in range(2)),
    "aws s3api put-bucket-notification-configuration": lambda stack, _: (
        "EventBridgeConfiguration" in stack.s3.get_bucket_notification_configuration(Bucket="their-bucket")
    ),
    "aws s3 sync": lambda _, folder: (folder / "results" / "a folder" / "1.png").exists(),
    "empty $UPLOADS": lambda stack, _: "uploads-of-prod" not in buckets(stack),
    "empty $RESULTS": lambda stack, _: "results-of-prod" not in buckets(stack),
}
VERSIONS = 1001  # S3 lists and deletes a thousand at a time
PROD = {
    "Resources": {
        name: {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain", "Properties": {"BucketName": bucket, **more}}
        for name, bucket, more in (
            ("UploadsBucket", "uploads-of-prod", {"VersioningConfiguration": {"Status": "Enabled"}}),
            ("ResultsBucket", "results-of-prod", {}),
        )
    },
    "Outputs": {name: {"Value": {"Ref": name}} for name in ("UploadsBucket", "ResultsBucket")},
}


def made(stack, key, count):
    (manifest,) = stack.wait_for(key)
    return manifest["state"] == "succeeded" and len(manifest["results"]) == count


def secret(stack, name):
    return stack.client("secretsmanager").get_secret_value(SecretId=stack[name])["SecretString"]


def buckets(stack):
    return {bucket["Name"] for bucket in stack.s3.list_buckets()["Buckets"]}


@functools.cache
def is_whole(text):
    """Whether bash can read a text as it is, so that no line of its last command is missing."""
    return not subprocess.run([BASH, "-n"], input=text.encode(), capture_output=True, check=False).returncode


def commands(block):
    """Split a block into commands, each with all of its lines."""
    command = ""
    for line in block.replace("\\\n", " ").splitlines():
        command += f"{line}\n"
        if is_whole(command):
            if not command.startswith("#"):
                yield command
            command = ""
    assert not command, f"bash cannot read {command}"


def begins(command, table):
    return [beginning for beginning in table if command.startswith(beginning)]


BLOCKS = [(path.name, heading, list(commands(block))) for path in DOCUMENTS for heading, block in shell(path)]
EVERY = [command for _, _, block in BLOCKS for command in block]
FUNCTIONS = next("".join(block) for _, _, block in BLOCKS if any(command.startswith("ask()") for command in block))
RUN = [
    pytest.param([command for command in block if not begins(command, NOT_RUN)], id=f"{name}: {heading}")
    for name, heading, block in BLOCKS
    if any(not begins(command, NOT_RUN) for command in block)
]


@pytest.fixture(scope="module")
def pictures():
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(content, "JPEG")
    return content.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, pictures):
    """A checkout with pictures in it, and the few programs that the commands may use beside the AWS CLI."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "bin").mkdir()
    for program in PROGRAMS:
        (folder / "bin" / program).symlink_to(shutil.which(program) or pytest.skip(f"There is no {program} here."))
    for name in ("infra", "requirements", "tests"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("my-picture.jpg", "shoe.jpg"):
        (folder / name).write_bytes(pictures)
    (folder / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    return folder


@pytest.fixture(scope="module")
def surroundings(running_stack, pictures):
    """What the documents speak of as yours: pictures, a bucket, events nobody could deliver, a second stack."""
    s3, uploads = running_stack.s3, running_stack["uploads_bucket"]
    s3.create_bucket(Bucket="their-bucket")
    undelivered = running_stack.physical("UndeliveredEventsQueue")
    for name in ("red", "late-0", "late-1"):
        s3.put_object(Bucket=uploads, Key=f"shoes/{name}.jpg", Body=pictures)
        if name != "red":
            order = {"source": f"s3://{uploads}/shoes/{name}.jpg", "n": 1}
            running_stack.sqs.send_message(QueueUrl=undelivered, MessageBody=json.dumps(order))
    cloudformation = running_stack.client("cloudformation")
    cloudformation.create_stack(StackName="image-variations-prod", TemplateBody=json.dumps(PROD))
    running_stack.wait_until(lambda: {"uploads-of-prod", "results-of-prod"} <= buckets(running_stack))
    s3.put_object(Bucket="results-of-prod", Key="a folder/1.png", Body=b"")
    with ThreadPoolExecutor(8) as pool:
        store = functools.partial(s3.put_object, Bucket="uploads-of-prod", Body=b"")
        list(pool.map(lambda number: store(Key=f"a folder/ü {number % 700}.jpg"), range(VERSIONS)))
    s3.delete_object(Bucket="uploads-of-prod", Key="a folder/ü 1.jpg")
    yield
    cloudformation.delete_stack(StackName="image-variations-prod")


@pytest.fixture
def secrets_as_before(running_stack):
    before = {name: secret(running_stack, name) for name in ("provider_secret", "client_keys_secret")}
    yield
    for name, text in before.items():
        if secret(running_stack, name) != text:
            running_stack.client("secretsmanager").put_secret_value(SecretId=running_stack[name], SecretString=text)


@pytest.fixture
def in_bash(stack, folder, surroundings, secrets_as_before):
    """Run commands in bash; their placeholders are filled with what there is."""
    fillings = {
        "YOUR-UPLOADS-BUCKET": stack["uploads_bucket"],
        "YOUR-RESULTS-BUCKET": stack["results_bucket"],
        "YOUR-BUCKET": "their-bucket",
        "my-bucket": stack["uploads_bucket"],
        "BACKFILL-STATE-MACHINE": stack["backfill_state_machine"],
        "YOUR-KEY": "sk-local",
        "CLIENT-KEY": stack["api_key"],
        "API-URL": stack["api_url"],
    }
    environment = {
        "PATH": str(folder / "bin"),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "API_URL": stack["api_url"],
        "KEY": stack["api_key"],
    }

    def run(commands):
        text = "".join(commands)
        for placeholder, filling in fillings.items():
            text = text.replace(placeholder, filling)
        with in_the_shell(AwsCli(stack.client)) as function:
            return subprocess.run(
                [BASH, "--norc", "-e", "-c", f"{function}{FUNCTIONS}{text}"],
                cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip

    return run


@pytest.mark.parametrize("block", RUN)
def test_the_commands_of_a_document_run_as_they_stand_there(in_bash, stack, folder, block):
    ended = in_bash(block)

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    for command in block:
        for beginning in begins(command, OUTCOMES):
            assert OUTCOMES[beginning](stack, Path(folder)), command


@pytest.mark.parametrize("table", [NOT_RUN, OUTCOMES], ids=["not run", "outcomes"])
def test_what_is_said_here_of_a_command_is_said_of_one_that_there_is(table):
    assert [beginning for beginning in table if not any(begins(command, [beginning]) for command in EVERY)] == []


def test_a_command_that_fails_is_told(in_bash):
    ended = in_bash(["aws sqs get-queue-attributes --queue-url no-such-queue\n", "echo went on\n"])

    assert ended.returncode == 255
    assert "aws sqs get-queue-attributes: " in ended.stderr
    assert "went on" not in ended.stdout
