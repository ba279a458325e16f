"""What is cut out of the dependencies layer is nothing that a function uses."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import boto3
import botocore.session
import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.stub import Stubber
from variations.aws_clients import CLIENT_CONFIG, S3_CONFIG

from infra.layer.trim import OPERATIONS
from tests.conftest import ROOT

CALLED = re.compile(r"client(?:\(\"\w+\"\))?\.(\w+)\(")
SIGNED = {"generate_presigned_post", "generate_presigned_url"}  # no operations of S3
ALL = [(service, operation) for service, operations in OPERATIONS.items() for operation in sorted(operations)]


@pytest.fixture(scope="module")
def whole():
    return botocore.session.get_session()


@pytest.fixture(scope="module")
def trimmed(tmp_path_factory):
    """A session that sees of botocore's data what the layer has of it."""
    folder = tmp_path_factory.mktemp("layer")
    for package in (boto3, botocore):
        shutil.copytree(Path(package.__file__).parent / "data", folder / package.__name__ / "data")
    subprocess.run([sys.executable, str(ROOT / "infra/layer/trim.py"), str(folder)], check=True)
    session = botocore.session.get_session()
    data = str(folder / "botocore" / "data")
    session.register_component("data_loader", Loader(extra_search_paths=[data], include_default_search_paths=False))
    return session


def client_of(session, service):
    session.set_credentials("test", "test")
    config = S3_CONFIG if service == "s3" else CLIENT_CONFIG
    return session.create_client(service, region_name="us-east-1", config=config)


def describe(shape, seen=()):
    """All that a shape is made of, down to where it repeats itself."""
    if shape is None or shape.name in seen:
        return shape and shape.name
    inner = dict(getattr(shape, "members", {}))
    inner |= {part: getattr(shape, part) for part in ("member", "key", "value") if hasattr(shape, part)}
    parts = {name: describe(part, (*seen, shape.name)) for name, part in inner.items()}
    return shape.type_name, shape.serialization, shape.metadata, parts


def test_every_operation_that_a_function_calls_is_kept():
    sources = [path.read_text() for path in (ROOT / "functions").rglob("*.py")]
    called = {name for source in sources for name in CALLED.findall(source)}

    assert called >= {"put_object", "update_item"}
    assert called - SIGNED <= {xform_name(operation) for _, operation in ALL}


def test_no_other_service_is_kept(trimmed):
    assert sorted(trimmed.get_available_services()) == sorted(OPERATIONS)


@pytest.mark.parametrize(("service", "operation"), ALL)
def test_an_operation_is_described_as_it_is_without_trimming(trimmed, whole, service, operation):
    kept, meant = (
        client_of(session, service).meta.service_model.operation_model(operation) for session in (trimmed, whole)
    )

    assert describe(kept.input_shape) == describe(meant.input_shape)
    assert describe(kept.output_shape) == describe(meant.output_shape)
    assert [shape.name for shape in kept.error_shapes] == [shape.name for shape in meant.error_shapes]
    assert (kept.http, kept.http_checksum) == (meant.http, meant.http_checksum)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1"])
@pytest.mark.parametrize("service", OPERATIONS)
def test_a_service_is_found_where_it_is_without_trimming(trimmed, whole, service, region):
    kept, meant = (session.create_client(service, region_name=region) for session in (trimmed, whole))

    assert kept.meta.endpoint_url == meant.meta.endpoint_url


def test_a_call_is_made_and_urls_are_signed_with_what_is_kept(trimmed):
    client = client_of(trimmed, "s3")

    with Stubber(client) as stubber:
        stubber.add_response("head_object", {"ETag": "1"}, {"Bucket": "pictures", "Key": "a.png"})
        assert client.head_object(Bucket="pictures", Key="a.png")["ETag"] == "1"
    url = client.generate_presigned_url("get_object", Params={"Bucket": "pictures", "Key": "a.png"})
    assert url.startswith("https://pictures.s3.us-east-1.amazonaws.com/a.png?")
    assert client.generate_presigned_post("pictures", "a.png")["url"] == "https://pictures.s3.us-east-1.amazonaws.com/"
