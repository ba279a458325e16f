"""The API of the deployed stack, asked with the official OpenAI SDKs."""

import base64
import io
import itertools
import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from openai.pagination import SyncCursorPage
from PIL import Image

from infra.local.build import ROOT
from infra.local.demo import EXAMPLE
from infra.local.deploy import session

NODE = Path(__file__).parent / "node"


@pytest.fixture
def sdk(stack):
    """Open clients, with the stack's own key unless another is given."""
    opened = []

    def sdk(**options):
        opened.append(openai.OpenAI(**{"base_url": stack["api_url"], "api_key": stack["api_key"], **options}))
        return opened[-1]

    yield sdk
    for client in opened:
        client.close()


@pytest.fixture
def client(sdk):
    return sdk(max_retries=0)


def vary(client, image=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK says that OpenAI retired it
        return client.images.create_variation(image=image or EXAMPLE.read_bytes(), **options)


def sizes_of(pictures):
    return [Image.open(io.BytesIO(content)).size for content in pictures]


def noise(megabytes):
    """A PNG of about so many megabytes, which nothing can compress."""
    edge = int((megabytes * 1e6 / 3) ** 0.5)
    image = Image.merge("RGB", [Image.effect_noise((edge, edge), 120) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def test_the_openai_sdk_lists_the_image_models_first_and_then_those_nobody_knows(client):
    model, unknown = client.models.list()

    assert (model.id, model.object, model.owned_by) == ("local-style-transfer", "model", "local")
    assert (model.image["variations"], unknown.image["variations"]) == (True, "unknown")


def test_the_openai_sdk_retrieves_one_model(client):
    assert client.models.retrieve("local-style-transfer").id == "local-style-transfer"


def test_the_retired_create_variation_works_again_and_answers_urls(client):
    answer = vary(client, n=3, size="256x256")

    fetched = [requests.get(picture.url, timeout=10) for picture in answer.data]
    assert [picture.headers["Content-Type"] for picture in fetched] == ["image/png"] * 3
    assert sizes_of(picture.content for picture in fetched) == [(256, 256)] * 3


def test_create_variation_answers_base64_when_asked(client):
    answer = vary(client, n=3, size="512x512", response_format="b64_json")

    assert sizes_of(base64.b64decode(picture.b64_json) for picture in answer.data) == [(512, 512)] * 3


def test_an_open_file_of_another_type_works_as_well_as_bytes(client, tmp_path):
    path = tmp_path / "picture.webp"
    Image.open(EXAMPLE).save(path)

    with path.open("rb") as file:
        assert len(vary(client, file, size="256x256").data) == 1


@pytest.mark.parametrize(
    ("options", "error", "param", "code"),
    [
        ({"n": 11}, openai.BadRequestError, "n", "invalid_request"),
        ({"size": "999"}, openai.BadRequestError, "size", "invalid_request"),
        ({"extra_body": {"quality": "best"}}, openai.BadRequestError, "quality", "invalid_request"),
        ({"model": "gpt-image-1"}, openai.NotFoundError, "model", "model_not_found"),
        ({"image": b"x"}, openai.APIStatusError, None, "unsupported_image"),
    ],
    ids=["n", "size", "quality", "model", "picture"],
)
def test_a_refusal_is_the_sdks_own_error_and_names_the_field(client, options, error, param, code):
    with pytest.raises(error) as refused:
        vary(client, **options)

    assert (refused.value.param, refused.value.code) == (param, code)
    assert refused.value.request_id


@pytest.mark.parametrize("key", ["sk-wrong", "x"])
def test_a_wrong_key_is_the_sdks_authentication_error(sdk, key):
    with pytest.raises(openai.AuthenticationError) as refused:
        sdk(api_key=key, max_retries=0).models.list()

    assert refused.value.code == "unauthorized"


@pytest.fixture
def fresh(stack):
    """A stack whose functions have just started, so that none remembers the list of models."""
    stack.reload(UploadVariations="3")
    yield stack
    stack.reload()


def test_a_provider_that_limits_our_rate_is_the_sdks_rate_limit_error(fresh, client):
    fresh.fault(path="/v1/models", status=429, headers={"Retry-After": "3"})

    with pytest.raises(openai.RateLimitError) as refused:
        client.models.list()

    assert refused.value.code == "provider_busy"
    assert refused.value.response.headers["Retry-After"] == "3"


@pytest.fixture
def signed_only(stack):
    """A stack whose API takes signed requests instead of keys."""
    stack.reload(ApiAuth="iam", Studio="no")
    yield stack
    stack.reload()


def test_with_iam_a_signed_request_is_let_in_and_one_without_a_signature_is_not(signed_only):
    url = f"{signed_only['api_url']}/models"
    request = AWSRequest("GET", url)
    SigV4Auth(session().get_credentials(), "execute-api", signed_only["region"]).add_auth(request)

    assert requests.get(url, headers=dict(request.headers), timeout=30).status_code == 200
    unsigned = requests.get(url, timeout=30)  # the emulator looks whether there is a signature, AWS whether it is good
    assert unsigned.status_code in {403, 404}
    assert unsigned.json()["error"]["type"] == "invalid_request_error"


def test_no_key_and_an_unknown_route_answer_in_openais_envelope(stack):
    assert requests.get(f"{stack['api_url']}/models", timeout=10).json()["error"]["code"] == "unauthorized"
    assert requests.get(f"{stack['api_url']}/nothing", timeout=10).json()["error"]["code"] == "not_found"


def test_a_provider_that_is_busy_for_long_is_waited_for_and_not_paid_twice(stack, sdk):
    stack.fault(status=429, headers={"Retry-After": "1"}, times=1)

    assert len(vary(sdk(), size="256x256", n=2).data) == 2
    assert [call["outcome"] for call in stack.calls()] == ["rate_limit_exceeded", "ok"]


@pytest.fixture
def impatient(stack):
    """A stack whose API waits 6 seconds instead of 25."""
    stack.reload(ApiTimeoutSeconds="10")
    stack.reset()
    yield stack
    stack.reload()


def test_an_unmodified_sdk_gets_pictures_that_take_longer_than_the_gateway_waits(impatient, sdk):
    impatient.fault(latency_seconds=14)

    answer = vary(sdk(), size="256x256", user="patient")

    assert len(answer.data) == 1
    assert len(impatient.calls()) == 1


def test_two_identical_calls_at_once_are_paid_for_once_and_one_after_delivery_anew(stack, client):
    stack.fault(latency_seconds=1)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: vary(client, size="256x256", user="twin").to_dict()["job_id"], range(2)))
    third = vary(client, size="256x256", user="twin").to_dict()["job_id"]

    assert both[0] == both[1] != third
    assert len(stack.calls()) == 2


def test_a_job_can_be_started_and_asked_for_later(stack):
    headers = {"Authorization": f"Bearer {stack['api_key']}"}
    request = {"image": base64.b64encode(EXAMPLE.read_bytes()).decode(), "size": "256x256", "prompt": "später"}
    url = f"{stack['api_url']}/images/variations"

    started = requests.post(url, json=request, headers=headers | {"Prefer": "respond-async"}, timeout=30)

    assert started.status_code == 202
    job = f"{stack['api_url']}{started.headers['Location'].removeprefix('/v1')}"
    stack.wait_until(lambda: requests.get(job, headers=headers, timeout=30).json()["status"] == "succeeded")
    (picture,) = requests.get(job, headers=headers, timeout=30).json()["data"]
    assert sizes_of([requests.get(picture["url"], timeout=30).content]) == [(256, 256)]


@pytest.fixture
def shop(stack):
    """The key of a second caller."""
    secrets = session().client("secretsmanager", endpoint_url=stack["aws_endpoint"])
    secret = stack.described["client_keys_secret"]
    before = secrets.get_secret_value(SecretId=secret)["SecretString"]
    secrets.put_secret_value(SecretId=secret, SecretString=json.dumps({**json.loads(before), "shop": "sk-shop"}))
    stack.reload(LogLevel="DEBUG")  # new containers, which know nothing of the old secret
    yield "sk-shop"
    secrets.put_secret_value(SecretId=secret, SecretString=before)
    stack.reload()


def test_another_callers_job_is_not_found(stack, client, sdk, shop):
    job_id = vary(client, size="256x256").to_dict()["job_id"]
    url = f"{stack['api_url']}/jobs/{job_id}"

    assert requests.get(url, headers={"Authorization": f"Bearer {stack['api_key']}"}, timeout=30).status_code == 200
    refused = requests.get(url, headers={"Authorization": f"Bearer {shop}"}, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "job_not_found")


class ListedJob(openai.BaseModel):
    """What the SDK's own pages need of an entry."""

    id: str
    status: str


def test_the_openai_sdk_turns_the_pages_of_the_list_of_jobs(client):
    asked = [vary(client, n=n, size="256x256").to_dict()["job_id"] for n in (1, 2, 3)]

    pages = client.get_api_list(
        "/jobs", page=SyncCursorPage[ListedJob], model=ListedJob, options={"params": {"limit": 2}}
    )

    newest = list(itertools.islice(pages, 3))
    assert [job.id for job in newest] == asked[::-1]
    assert {job.status for job in newest} == {"succeeded"}


@pytest.mark.parametrize("megabytes", [4.2, 6, 12])
def test_a_large_picture_works_or_is_sent_to_uploads_which_then_work(stack, client, megabytes):
    content = noise(megabytes)
    if megabytes < 4.4:
        assert len(vary(client, content, size="256x256").data) == 1
        return

    with pytest.raises(openai.APIStatusError) as refused:
        vary(client, content, size="256x256")

    assert (refused.value.status_code, refused.value.code) == (413, "source_too_large")
    assert "/v1/uploads" in refused.value.message


def test_a_picture_of_40_mb_comes_in_through_uploads(stack):
    headers = {"Authorization": f"Bearer {stack['api_key']}"}
    request = {"filename": "large.png", "content_type": "image/png", "n": 2, "size": "256x256"}

    form = requests.post(f"{stack['api_url']}/uploads", json=request, headers=headers, timeout=30)
    assert form.status_code == 201, form.text
    content = noise(40)
    uploaded = requests.post(form.json()["url"], data=form.json()["fields"], files={"file": content}, timeout=60)
    assert uploaded.status_code in {200, 201, 204}, uploaded.text

    job = f"{stack['api_url']}/jobs/{form.json()['job_id']}"
    stack.wait_until(lambda: requests.get(job, headers=headers, timeout=30).json()["status"] == "succeeded")
    assert len(requests.get(job, headers=headers, timeout=30).json()["data"]) == 2


@pytest.mark.skipif(not shutil.which("npm"), reason="needs npm")
def test_the_official_node_sdk_works_too(stack):
    folder = ROOT / ".local" / "env" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "vary.mjs"):
        shutil.copy(NODE / name, folder)
    install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)

    command = ["node", "vary.mjs", stack["api_url"], stack["api_key"], str(EXAMPLE)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    answered = json.loads(ended.stdout)
    assert answered["models"] == ["local-style-transfer", "local-text-only"]
    assert sizes_of(base64.b64decode(picture) for picture in answered["pictures"]) == [(256, 256)] * 2
    assert answered["refusal"] == {"name": "BadRequestError", "status": 400, "code": "invalid_request", "param": "n"}


def test_the_api_does_what_its_openapi_document_says(stack, tmp_path):
    headers = {"Authorization": f"Bearer {stack['api_key']}"}
    served = requests.get(f"{stack['api_url']}/openapi.json", headers=headers, timeout=30).json()
    assert served == json.loads((ROOT / "functions" / "openapi.json").read_text())
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = [Path(sys.executable).with_name("st"), "run", str(ROOT / "functions" / "openapi.json")]
    options = ["--url", stack["api_url"], "--checks", checks, "--max-examples", "15", "--seed", "1", "--no-color"]

    ended = subprocess.run(
        [*command, *options, "--header", f"Authorization: {headers['Authorization']}", "--phases", "coverage,fuzzing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
