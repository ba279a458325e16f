"""GET /v1/studio and its files through the real handler: what a browser gets, and what it is told it may do."""

import json
import re
from urllib.parse import urlsplit

import pytest
import serve_studio
from variations.http_api import SECURITY_HEADERS

from tests.conftest import ROOT, event

FOLDER = ROOT / "functions" / "studio"
FILES = sorted(path.name for path in FOLDER.iterdir())
HTML = (FOLDER / "index.html").read_text()
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Answered:
    def __init__(self, answer):
        self.status, self.body = answer["statusCode"], answer["body"]
        self.headers = {name: value for name, (value,) in answer["multiValueHeaders"].items()}
        self.policy = dict(
            rule.strip().split(" ", 1) for rule in self.headers.get("Content-Security-Policy", "").split(";")
        )


@pytest.fixture
def get(environment, context):
    """Ask for the page, or for one of its files."""

    def get(name=None, method="GET", headers=None, path=None):
        request = event("serve_studio")
        path = path or ("/studio" if name is None else f"/studio/{name}")
        request |= {"httpMethod": method, "path": path, "pathParameters": {"file": name} if name else None}
        request["requestContext"] |= {"httpMethod": method, "path": f"/v1{path}"}
        request["headers"] = {**request["headers"], **(headers or {})}
        return Answered(serve_studio.handler(request, context))

    return get


def test_the_page_is_what_ships_and_bears_the_security_headers_of_every_answer(get):
    page = get()

    assert (page.status, page.body) == (200, HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    others = SECURITY_HEADERS.keys() - {"Content-Security-Policy", "Cache-Control"}
    assert {name: page.headers[name] for name in others} == {name: SECURITY_HEADERS[name] for name in others}


def test_the_page_may_talk_to_this_api_and_the_two_buckets_of_this_stack_and_to_nobody_else(get):
    buckets = "https://results-bucket.s3.us-east-1.amazonaws.com https://uploads-bucket.s3.us-east-1.amazonaws.com"

    assert get().policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data: {buckets}",
        "connect-src": f"'self' {buckets}",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_buckets_it_may_talk_to_are_those_of_the_urls_that_the_api_hands_out(get, api):
    api.create(n=1)
    (picture,) = api.create(n=1).json["data"]
    form = api.upload_form(filename="large.png").json

    for url in (picture["url"], form["url"]):
        origin = f"https://{urlsplit(url).netloc}"
        assert origin in get().policy["connect-src"].split()


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1"])
def test_the_buckets_are_those_of_the_stacks_region(get, environment, region):
    environment.setenv("AWS_DEFAULT_REGION", region)
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    environment.setattr("variations.aws_clients._session", fresh_session)

    assert f"https://results-bucket.s3.{region}.{suffix}" in get().policy["img-src"].split()


def fresh_session():
    import botocore.session

    return botocore.session.get_session()


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_with_its_type(get, name):
    served = get(name)

    assert (served.status, served.body) == (200, (FOLDER / name).read_text())
    assert served.headers["Content-Type"] == f"{TYPES[name.rpartition('.')[2]]}; charset=utf-8"
    assert served.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name",
    [
        "nothing.js",
        "../serve_studio.py",
        "..%2fserve_studio.py",
        "..",
        ".",
        "%2e%2e",
        "/etc/passwd",
        "INDEX.HTML",
        "a\0",
    ],
)
def test_nothing_else_is_served_by_whatever_name(get, name):
    refused = get(name)

    assert refused.status == 404
    assert json.loads(refused.body)["error"]["code"] == "not_found"
    assert refused.headers["Content-Security-Policy"] == SECURITY_HEADERS["Content-Security-Policy"]
    assert refused.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", [None, "studio.js"])
def test_what_a_browser_has_already_is_not_sent_again(get, name):
    first = get(name)

    for known in (first.headers["ETag"], f'"other", {first.headers["ETag"]}', f"W/{first.headers['ETag']}"):
        again = get(name, headers={"if-none-match": known})
        assert (again.status, again.body) == (304, "")
        assert again.headers["ETag"] == first.headers["ETag"]
    assert get(name, headers={"if-none-match": '"other"'}).status == 200


def test_files_that_differ_have_different_etags(get):
    etags = {get(name).headers["ETag"] for name in FILES}

    assert len(etags) == len(FILES)


@pytest.mark.parametrize("name", [None, "studio.css"])
def test_head_answers_the_headers_alone(get, name):
    head, whole = get(name, method="HEAD"), get(name)

    assert (head.status, head.body) == (200, "")
    assert head.headers == whole.headers


def test_options_answers_without_content(get):
    assert (get(method="OPTIONS").status, get(method="OPTIONS").body) == (204, "")


def test_nothing_can_be_sent_to_it(get):
    assert get(method="POST").status == 404


def test_a_slash_too_many_leads_to_the_page_as_its_files_would_not_be_found_from_there(get):
    led = get(path="/studio/")

    assert (led.status, led.headers["Location"]) == (308, "../studio")


def test_whatever_the_page_refers_to_is_a_file_of_its_own():
    referred = re.findall(r'(?:src|href)="([^"#][^"]*)"', HTML)
    scripts = "".join((FOLDER / name).read_text() for name in FILES if name.endswith(".js"))

    assert {name.removeprefix("studio/") for name in referred} <= set(FILES)
    assert set(re.findall(r'from "\./([^"]+)"', scripts)) <= set(FILES)


def test_scripts_are_asked_for_at_once_and_not_one_after_the_other():
    named = set(re.findall(r'(?:modulepreload" href|module" src)="studio/([^"]+)"', HTML))

    assert named == {name for name in FILES if name.endswith(".js")}


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name):
    urls = re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+", (FOLDER / name).read_text())

    assert set(urls) <= {"http://www.w3.org"}  # the namespace of SVG, which nobody fetches


def test_the_page_has_no_script_and_no_style_within():
    assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", HTML)
    assert re.findall(r"<script[^>]*>(.*?)</script>", HTML, re.DOTALL) == [""]


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_makes_markup_or_code_of_texts(name):
    script = (FOLDER / name).read_text()

    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
    assert len(script.splitlines()) <= 250


def test_whatever_the_scripts_look_for_on_the_page_is_there():
    scripts = "".join((FOLDER / name).read_text() for name in FILES if name.endswith(".js"))
    ids = set(re.findall(r'\sid="([^"]+)"', HTML))

    assert set(re.findall(r'\$\("([^"]+)"\)', scripts)) <= ids
    assert set(re.findall(r'(?:for|aria-controls|aria-labelledby)="([^"]+)"', HTML)) <= ids
