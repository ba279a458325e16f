"""Pictures and manifests are kept in the same way by dicts (the fake of the unit tests) and by S3."""

import hashlib
import io
import json
from dataclasses import dataclass, replace

import pytest
from botocore.exceptions import ConnectTimeoutError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto import mock_aws
from PIL import Image
from urllib3.exceptions import ProtocolError
from variations.aws_clients import CLIENT_CONFIG
from variations.errors import ConfigurationError, SourceNotFound, SourceTooLarge, StorageFailed
from variations.model import Picture, SourceLocation
from variations.storage import Storage

from tests.fakes import FakeStorage, Stored

AWKWARD_KEY = "a b+c%20ü(1).png"
PREFIX = f"{AWKWARD_KEY}/job-1"
MARKS = {"job-id": "job-1", "model": "gpt-image-2.6-flare"}


def draw(colour, content_type="image/png", size=(12, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, content_type.removeprefix("image/"))
    return Picture(buffer.getvalue(), content_type, *size)


RED, BLUE = draw("red"), draw("blue", size=(8, 12))


@dataclass
class FakeStore:
    """The fake, and how a test looks behind it."""

    storage: FakeStorage

    def upload(self, key, content, metadata=(), bucket="uploads"):
        stored = self.storage.put(bucket, key, content, "image/png", dict(metadata))
        return SourceLocation(bucket, key, stored.version_id, stored.etag)

    def object(self, key):
        return self.storage.get("results", key)

    def keys(self):
        return sorted(self.storage.buckets["results"])

    def lose_bucket(self):
        del self.storage.buckets["results"]


@dataclass
class RealStore:
    """The real class over S3 in this process, and how a test looks behind it."""

    storage: Storage

    def upload(self, key, content, metadata=(), bucket="uploads"):
        put = self.storage.client.put_object(Bucket=bucket, Key=key, Body=content, Metadata=dict(metadata))
        return SourceLocation(bucket, key, put["VersionId"], put["ETag"].strip('"'))

    def object(self, key):
        found = self.storage.client.get_object(Bucket="results", Key=key)
        with found["Body"] as body:
            return Stored(body.read(), found["ContentType"], found["Metadata"], "null")

    def keys(self):
        listed = self.storage.client.list_objects_v2(Bucket="results")
        return sorted(entry["Key"] for entry in listed.get("Contents", []))

    def lose_bucket(self):
        self.storage.client.delete_bucket(Bucket="results")


@pytest.fixture(name="real")
def _real(session):
    with mock_aws():
        client = session.client("s3", config=CLIENT_CONFIG)
        client.create_bucket(Bucket="uploads")
        client.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})
        client.create_bucket(Bucket="results")
        yield RealStore(Storage(client, "results"))


@pytest.fixture(name="fake")
def _fake():
    return FakeStore(FakeStorage())


@pytest.fixture(name="store", params=["fake", "real"])
def _store(request):
    return request.getfixturevalue(request.param)


# Sources


@pytest.mark.parametrize("key", ["cat.png", AWKWARD_KEY, "uploads/ä/ß & co=?#.jpg", "a//b/./c.png"])
def test_a_source_comes_back_with_its_bytes_its_etag_and_its_metadata(store, key):
    location = store.upload(key, RED.content, {"n": "4", "output-format": "webp"})

    source = store.storage.fetch_source(location, max_bytes=10_000)

    assert (source.location, source.content, source.etag) == (location, RED.content, location.etag)
    assert dict(source.metadata) == {"n": "4", "output-format": "webp"}


def test_a_source_may_be_named_without_version_and_etag(store):
    location = store.upload("cat.png", RED.content)

    source = store.storage.fetch_source(SourceLocation("uploads", "cat.png"), max_bytes=10_000)

    assert (source.content, source.etag) == (RED.content, location.etag)


def test_a_source_that_was_replaced_is_not_found(store):
    first = store.upload("cat.png", RED.content)
    store.upload("cat.png", BLUE.content)

    with pytest.raises(SourceNotFound, match="replaced") as failure:
        store.storage.fetch_source(replace(first, version_id=None), max_bytes=10_000)
    assert not failure.value.retryable


def test_the_version_that_is_meant_is_read_even_when_there_is_a_newer_one(store):
    first = store.upload("cat.png", RED.content)
    second = store.upload("cat.png", BLUE.content)

    assert store.storage.fetch_source(first, max_bytes=10_000).content == RED.content
    assert store.storage.fetch_source(second, max_bytes=10_000).content == BLUE.content


def test_a_source_that_is_gone_is_not_found(store):
    with pytest.raises(SourceNotFound, match="s3://uploads/a b") as failure:
        store.storage.fetch_source(SourceLocation("uploads", AWKWARD_KEY), max_bytes=10_000)
    assert not failure.value.retryable


def test_a_version_that_is_gone_is_not_found(store):
    location = store.upload("cat.png", RED.content)

    with pytest.raises(SourceNotFound):
        store.storage.fetch_source(replace(location, version_id="v99"), max_bytes=10_000)


def test_a_bucket_that_does_not_exist_is_a_wrong_configuration(store):
    with pytest.raises(ConfigurationError) as failure:
        store.storage.fetch_source(SourceLocation("nowhere", "cat.png"), max_bytes=10_000)
    assert not failure.value.retryable


def test_as_many_bytes_as_are_allowed_are_read_and_no_more(store):
    location = store.upload("cat.png", RED.content)
    size = len(RED.content)

    assert store.storage.fetch_source(location, max_bytes=size).content == RED.content
    with pytest.raises(SourceTooLarge, match=f"{size} bytes.* {size - 1}") as failure:
        store.storage.fetch_source(location, max_bytes=size - 1)
    assert not failure.value.retryable


def test_an_empty_source_is_handed_over_as_it_is(store):
    location = store.upload("empty.png", b"")

    assert store.storage.fetch_source(location, max_bytes=10_000).content == b""


# Results


@pytest.mark.parametrize(
    ("number", "content_type", "name"),
    [
        (1, "image/png", "variation-01.png"),
        (2, "image/jpeg", "variation-02.jpeg"),
        (10, "image/webp", "variation-10.webp"),
    ],
)
def test_a_result_is_stored_with_its_type_and_its_marks(store, number, content_type, name):
    picture = draw("green", content_type)

    variation = store.storage.store_result(PREFIX, number, picture, MARKS)

    assert variation.key == f"{PREFIX}/{name}"
    assert (variation.content_type, variation.bytes) == (content_type, len(picture.content))
    assert (variation.width, variation.height) == (12, 8)
    assert variation.sha256 == hashlib.sha256(picture.content).hexdigest()
    stored = store.object(variation.key)
    assert (stored.content, stored.content_type) == (picture.content, content_type)
    assert stored.metadata.items() >= MARKS.items()


def test_a_result_is_written_once_and_the_second_write_returns_the_first(store):
    first = store.storage.store_result(PREFIX, 1, RED, MARKS)

    second = store.storage.store_result(PREFIX, 1, BLUE, {**MARKS, "model": "another"})

    assert second == first
    assert store.object(first.key).content == RED.content
    assert store.object(first.key).metadata["model"] == "gpt-image-2.6-flare"


def test_results_are_listed_by_their_number(store):
    assert store.storage.list_results(PREFIX) == {}
    stored = {number: store.storage.store_result(PREFIX, number, RED, MARKS) for number in (10, 1, 3)}

    assert store.storage.list_results(PREFIX) == stored


def test_only_the_results_of_the_job_itself_are_listed(store):
    mine = store.storage.store_result(PREFIX, 1, RED, MARKS)
    store.storage.store_result(f"{PREFIX}0", 2, RED, MARKS)
    store.storage.store_result("jobs/another", 3, RED, MARKS)
    store.storage.store_manifest(PREFIX, {"state": "succeeded"})

    assert store.storage.list_results(PREFIX) == {1: mine}


def test_metadata_that_no_header_can_hold_is_refused(store):
    with pytest.raises(StorageFailed):
        store.storage.store_result(PREFIX, 1, RED, {"model": "modèle"})

    assert store.keys() == []


# Manifests


def test_a_manifest_is_read_back_as_it_was_written(store):
    manifest = {"job_id": "job-1", "warnings": ["ü ✓ 🎨"], "error": None, "results": [{"bytes": 1}], "seconds": 0.5}

    store.storage.store_manifest(PREFIX, manifest)

    assert store.storage.read_manifest(PREFIX) == manifest
    stored = store.object(f"{PREFIX}/manifest.json")
    assert stored.content_type == "application/json"
    assert json.loads(stored.content.decode()) == manifest


def test_a_manifest_that_is_written_again_replaces_the_first(store):
    store.storage.store_manifest(PREFIX, {"state": "failed"})
    store.storage.store_manifest(PREFIX, {"state": "succeeded"})

    assert store.storage.read_manifest(PREFIX) == {"state": "succeeded"}
    assert store.keys() == [f"{PREFIX}/manifest.json"]


def test_a_manifest_may_quote_a_provider_that_cuts_an_emoji_in_half(real):
    manifest = {"error": {"message": json.loads('"The provider says: \\ud83c"')}}

    real.storage.store_manifest(PREFIX, manifest)

    assert real.storage.read_manifest(PREFIX)["error"]["message"].startswith("The provider says: ")


# Manifests beside a source

FIRST, SECOND, THIRD = ("0" * 31 + digit for digit in "123")


def beside(store, key):
    return sorted(manifest["job_id"] for manifest in store.storage.read_manifests_beside(key))


@pytest.mark.parametrize("key", ["cat.png", AWKWARD_KEY, "uploads/ä/ß & co=?#.jpg", "a//b/./c.png"])
def test_the_manifests_of_all_jobs_beside_a_source_are_read(store, key):
    for job_id in (FIRST, SECOND):
        store.storage.store_result(f"{key}/{job_id}", 1, RED, MARKS)
        store.storage.store_manifest(f"{key}/{job_id}", {"job_id": job_id, "warnings": ["ü ✓ 🎨"]})

    assert beside(store, key) == [FIRST, SECOND]
    assert next(store.storage.read_manifests_beside(key))["warnings"] == ["ü ✓ 🎨"]


def test_a_source_that_was_never_asked_about_has_no_manifests_beside_it(store):
    assert list(store.storage.read_manifests_beside(AWKWARD_KEY)) == []


def test_a_job_beside_a_source_that_has_not_ended_has_no_manifest(store):
    store.storage.store_result(f"cat.png/{FIRST}", 1, RED, MARKS)
    store.storage.store_manifest(f"cat.png/{SECOND}", {"job_id": SECOND})

    assert beside(store, "cat.png") == [SECOND]


@pytest.mark.parametrize(
    "prefix",
    [
        f"cat.png2/{FIRST}",
        f"uploads/cat.png/{FIRST}",
        f"cat.png/{FIRST}/{SECOND}",
        f"cat.png/more/{FIRST}",
        f"cat.png/{FIRST[1:]}",
        f"cat.png/{'A' * 32}",
        "cat.png",
        f"jobs/{FIRST}",
    ],
)
def test_a_manifest_that_lies_elsewhere_is_not_beside_a_source(store, prefix):
    store.storage.store_manifest(prefix, {"job_id": "elsewhere"})
    store.storage.store_manifest(f"cat.png/{THIRD}", {"job_id": THIRD})

    assert beside(store, "cat.png") == [THIRD]


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda storage: storage.store_result(PREFIX, 1, RED, MARKS), id="store a result"),
        pytest.param(lambda storage: storage.list_results(PREFIX), id="list results"),
        pytest.param(lambda storage: storage.store_manifest(PREFIX, {}), id="store a manifest"),
        pytest.param(lambda storage: storage.read_manifest(PREFIX), id="read a manifest"),
        pytest.param(lambda storage: list(storage.read_manifests_beside("cat.png")), id="read manifests"),
    ],
)
def test_a_missing_results_bucket_is_a_wrong_configuration(store, operation):
    store.lose_bucket()

    with pytest.raises(ConfigurationError):
        operation(store.storage)


# What only S3 knows


def test_too_many_bytes_are_refused_before_one_of_them_is_read(real):
    class Unread(io.RawIOBase):
        def read(self, *_):
            raise AssertionError("a byte of the source was read")

    with Stubber(real.storage.client) as stub:
        body = StreamingBody(Unread(), 1001)
        stub.add_response("get_object", {"Body": body, "ContentLength": 1001, "ETag": '"abc"', "Metadata": {}})
        with pytest.raises(SourceTooLarge):
            real.storage.fetch_source(SourceLocation("uploads", "cat.png"), max_bytes=1000)


READS = [
    pytest.param(
        lambda storage: storage.fetch_source(SourceLocation("uploads", "cat.png"), max_bytes=1000), id="a source"
    ),
    pytest.param(lambda storage: storage.read_manifest(PREFIX), id="a manifest"),
]


@pytest.mark.parametrize("read", READS)
def test_an_object_whose_bytes_stop_coming_is_tried_again(real, read):
    with Stubber(real.storage.client) as stub:
        body = StreamingBody(io.BytesIO(b'{"half": 1}'), 99)
        stub.add_response("get_object", {"Body": body, "ContentLength": 99, "ETag": '"abc"', "Metadata": {}})
        with pytest.raises(StorageFailed, match="IncompleteRead"):
            read(real.storage)


@pytest.mark.parametrize("read", READS)
def test_a_connection_that_breaks_while_an_object_is_read_is_tried_again(real, read):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise ProtocolError("Connection broken")

    with Stubber(real.storage.client) as stub:
        body = StreamingBody(Broken(), 8)
        stub.add_response("get_object", {"Body": body, "ContentLength": 8, "ETag": '"abc"', "Metadata": {}})
        with pytest.raises(StorageFailed, match="ResponseStreaming"):
            read(real.storage)


def test_a_result_that_botocore_writes_twice_is_one_result(real):
    tries = []

    def ask_again(attempts, **_):
        tries.append(attempts)
        return 0 if attempts == 1 else None

    real.storage.client.meta.events.register_first("needs-retry.s3.PutObject", ask_again)

    variation = real.storage.store_result(PREFIX, 1, RED, MARKS)

    assert tries == [1, 2]
    assert real.keys() == [variation.key]
    assert variation.sha256 == hashlib.sha256(RED.content).hexdigest()


OPERATIONS = [
    pytest.param(
        "get_object",
        lambda storage: storage.fetch_source(SourceLocation("uploads", "cat.png"), max_bytes=10_000),
        id="fetch a source",
    ),
    pytest.param("put_object", lambda storage: storage.store_result(PREFIX, 1, RED, MARKS), id="store a result"),
    pytest.param("list_objects_v2", lambda storage: storage.list_results(PREFIX), id="list results"),
    pytest.param("put_object", lambda storage: storage.store_manifest(PREFIX, {}), id="store a manifest"),
    pytest.param("get_object", lambda storage: storage.read_manifest(PREFIX), id="read a manifest"),
    pytest.param(
        "list_objects_v2", lambda storage: list(storage.read_manifests_beside("cat.png")), id="find manifests"
    ),
]


@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("SlowDown", 503),
        ("InternalError", 500),
        ("ServiceUnavailable", 503),
        ("RequestTimeout", 400),
        ("ConditionalRequestConflict", 409),
    ],
)
def test_a_bucket_that_fails_for_a_moment_is_tried_again(real, method, operation, code, status):
    with Stubber(real.storage.client) as stub:
        stub.add_client_error(method, code, http_status_code=status)
        with pytest.raises(StorageFailed, match=code) as failure:
            operation(real.storage)
    assert failure.value.retryable


@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
@pytest.mark.parametrize("code", ["AccessDenied", "KMS.DisabledException", "NoSuchBucket"])
def test_a_bucket_that_does_not_let_us_in_is_a_wrong_configuration(real, method, operation, code):
    with Stubber(real.storage.client) as stub:
        stub.add_client_error(method, code, http_status_code=403)
        with pytest.raises(ConfigurationError, match=code) as failure:
            operation(real.storage)
    assert not failure.value.retryable


@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
def test_a_bucket_that_does_not_pick_up_is_tried_again(real, method, operation):
    def hang_up(**_):
        raise ConnectTimeoutError(endpoint_url="https://s3.invalid")

    real.storage.client.meta.events.register_first("before-call.s3", hang_up)
    with pytest.raises(StorageFailed, match="ConnectTimeoutError"):
        operation(real.storage)


def test_an_archived_source_is_not_found_and_the_user_is_told_to_restore_it(real):
    with Stubber(real.storage.client) as stub:
        stub.add_client_error("get_object", "InvalidObjectState", http_status_code=403)
        with pytest.raises(SourceNotFound, match="Restore"):
            real.storage.fetch_source(SourceLocation("uploads", "cat.png"), max_bytes=1000)


def test_a_result_that_was_there_but_cannot_be_read_is_tried_again(real):
    real.storage.store_result(PREFIX, 1, RED, MARKS)

    def fail(**_):
        raise ConnectTimeoutError(endpoint_url="https://s3.invalid")

    real.storage.client.meta.events.register_first("before-call.s3.HeadObject", fail)
    with pytest.raises(StorageFailed):
        real.storage.store_result(PREFIX, 1, BLUE, MARKS)
