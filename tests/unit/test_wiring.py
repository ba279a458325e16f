"""How the parts are put together."""

import base64
import functools
import hashlib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore import httpsession
from botocore.awsrequest import AWSResponse
from botocore.hooks import HierarchicalEmitter
from variations import aws_clients, wiring


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_presigned_urls_carry_a_signature_of_version_4_and_name_the_region(environment, region):
    environment.setenv("AWS_DEFAULT_REGION", region)

    url = wiring.storage().presign_result("jobs/a b+c/variation-01.png")

    signed = parse_qs(urlsplit(url).query)
    assert signed["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert f"/{region}/s3/" in signed["X-Amz-Credential"][0]
    assert urlsplit(url).hostname == f"results-bucket.s3.{region}.amazonaws.com"
    assert urlsplit(url).path == "/jobs/a%20b%2Bc/variation-01.png"
    assert wiring.client("s3").meta.config.signature_version == "s3v4"  # "v4" would sign the path in another form


def test_an_upload_form_is_bound_to_its_key_type_and_size(environment):
    import base64
    import json

    from variations.model import SourceLocation

    location = SourceLocation("uploads-bucket", "uploads/api/" + "0" * 32 + "/large.png")
    form = wiring.storage().presign_upload(location, content_type="image/png", max_bytes=1000)

    conditions = json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]
    assert {"key": location.key} in conditions
    assert {"Content-Type": "image/png"} in conditions
    assert ["content-length-range", 1, 1000] in conditions


def test_all_clients_share_one_session_and_each_is_made_once():
    assert wiring.client("s3") is wiring.client("s3")
    assert wiring.storage().client is wiring.client("s3")


def test_workers_side_by_side_make_their_clients_one_after_the_other(environment):
    names = ["s3", "sqs", "events", "dynamodb", "secretsmanager"]
    together, inside, most = threading.Barrier(len(names), timeout=5), [], []

    class Session:
        def create_client(self, name, **_):
            inside.append(name)
            threading.Event().wait(0.01)  # long enough for the others to come in, if they may
            most.append(len(inside))
            inside.remove(name)
            return SimpleNamespace(meta=SimpleNamespace(events=HierarchicalEmitter()))

    def make(name):
        together.wait()
        wiring.client(name)

    environment.setattr(aws_clients, "_session", functools.cache(Session))
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(make, names))

    assert most == [1] * len(names)


def test_all_connections_to_aws_share_one_context_that_reads_the_authorities_once(environment, monkeypatch):
    read = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda _, *files: read.append(files))
    contexts = {
        id(wiring.client(name)._endpoint.http_session._manager.connection_pool_kw["ssl_context"])
        for name in ("s3", "sqs", "dynamodb")
    }

    context = httpsession.create_urllib3_context()
    for authorities in ("a.pem", "a.pem", "b.pem", "a.pem"):
        context.load_verify_locations(authorities, None, None)

    assert contexts == {id(context)}
    assert read == [("a.pem", None, None), ("b.pem", None, None)]


def test_certificates_of_aws_are_checked(environment):
    context = httpsession.create_urllib3_context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_an_object_is_put_in_one_piece_with_its_digest_without_waiting_to_be_asked(environment):
    sent = []

    def answer(request, **_):
        sent.append(request)
        return AWSResponse(request.url, 200, {}, SimpleNamespace(stream=lambda: iter([b""])))

    wiring.client("s3").meta.events.register("before-send.s3.PutObject", answer)
    wiring.storage().store_source("jobs/a/source", b"a picture")

    (request,) = sent
    headers = {name.lower(): value for name, value in request.headers.items()}
    assert request.body == b"a picture"
    assert base64.b64decode(headers["x-amz-checksum-sha256"]) == hashlib.sha256(b"a picture").digest()
    assert headers["x-amz-content-sha256"] in {"UNSIGNED-PAYLOAD", b"UNSIGNED-PAYLOAD"}
    assert {"expect", "x-amz-trailer"}.isdisjoint(headers)
