"""GET /v1/studio and /v1/studio/{file}: the Studio, a page where people drop a picture and choose among variations."""

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import NotFound
from variations.http_api import answer, request_id_of, resolver
from variations.model import SourceLocation
from variations.telemetry import logger

app = resolver()
FOLDER = Path(__file__).with_name("studio")
PAGE = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
READ = ["GET", "HEAD"]
# What the page may do: run and look as its own files say, talk to this API and to the two buckets, nothing else.
# `blob:` and `data:` are pictures that the browser itself made, such as the preview of what was dropped.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data: {buckets}; "
    "connect-src 'self' {buckets}; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file of the Studio, as it ships."""

    content: str
    content_type: str
    etag: str


@functools.cache
def files() -> dict[str, StaticFile]:
    """Read all files of the Studio, by name; what is not among them cannot be asked for by any path."""
    read = {path.name: path for path in FOLDER.iterdir() if path.suffix in TYPES}
    return {name: _static_file(path.read_text(encoding="utf-8"), TYPES[path.suffix]) for name, path in read.items()}


def _static_file(content: str, content_type: str) -> StaticFile:
    digest = hashlib.sha256(content.encode()).hexdigest()
    return StaticFile(content, f"{content_type}; charset=utf-8", f'"{digest[:32]}"')


@app.route("/studio", method=READ)
def serve_page() -> Response[str]:
    """Serve the page itself, which alone says what a browser may do with all of it."""
    if (app.current_event.request_context.path or "").endswith("/"):
        # From there the page would look for its files a folder too deep.
        return Response(308, body="", headers={"Location": "../studio"})
    return _serve(PAGE, {"Content-Security-Policy": POLICY.format(buckets=" ".join(bucket_origins()))})


@app.route("/studio/<name>", method=READ)
def serve_file(name: str) -> Response[str]:
    """Serve what the page is made of.

    Raises:
        NotFound: the Studio has no such file.
    """
    return _serve(name)


def _serve(name: str, headers: dict[str, str] | None = None) -> Response[str]:
    found = files().get(name)
    if found is None:
        raise NotFound(f"The Studio has no file {name[:100]!r}.")
    # Names stay the same from release to release, so browsers keep the files and ask each time whether they still hold.
    own = {"ETag": found.etag, "Cache-Control": "no-cache", "x-request-id": request_id_of(app), **(headers or {})}
    known = re.findall(r'"[^"]*"', app.current_event.headers.get("if-none-match") or "")
    if found.etag in known:
        return Response(304, body="", headers=own)
    body = "" if app.current_event.http_method == "HEAD" else found.content
    return Response(200, content_type=found.content_type, body=body, headers=own)


def bucket_origins() -> list[str]:
    """Return where the browser sends large sources and gets results: the origins of the URLs that this stack signs."""
    settings, storage = wiring.settings(), wiring.storage()
    source = SourceLocation(settings.uploads_bucket, "source")
    form = storage.presign_upload(source, content_type="image/png", max_bytes=settings.max_source_bytes)
    signed = (form["url"], storage.presign_result("result"))
    return sorted({f"{url.scheme}://{url.netloc}" for url in map(urlsplit, signed)})


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request from API Gateway."""
    return answer(app, event, context)
