"""A call as it arrived, and its refusal."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as _field
from typing import Any

from werkzeug import Request

from .pictures import from_data_url


@dataclass(frozen=True)
class Sent:
    """One picture as it arrived, decoded."""

    field: str
    filename: str | None
    content_type: str
    content: bytes = _field(repr=False)


@dataclass
class Call:
    """One POST as it arrived, and what became of it."""

    path: str
    query: dict[str, str]
    kind: str  # multipart, json, or the media type of anything else
    fields: dict[str, Any] = _field(default_factory=dict)
    pictures: list[Sent] = _field(default_factory=list)
    outcome: str = ""  # made, or the error's code or status
    malformed: bool = False

    @classmethod
    def read(cls, request: "Upload") -> "Call":
        """Take a request apart."""
        kinds = {"multipart/form-data": "multipart", "application/json": "json"}
        call = cls(request.path, request.args.to_dict(), kinds.get(request.mimetype, request.mimetype))
        if call.kind == "json":
            call._read_json(request.get_data())
        else:
            call.fields = request.form.to_dict()
            call.pictures = [
                Sent(name, part.filename, part.content_type or "", part.read())
                for name, part in request.files.items(multi=True)
            ]
        return call

    def _read_json(self, body: bytes) -> None:
        try:
            self.fields = dict(json.loads(body))
        except (ValueError, TypeError):
            self.malformed = True
        for name, value in self.fields.items():
            for url in _texts(value):
                if decoded := from_data_url(url):
                    self.pictures.append(Sent(name, None, *decoded))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


class Refusal(Exception):
    """Refuse a call; each family writes it in its own shape."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        type: str | None = "invalid_request_error",  # noqa: A002 - OpenAI's name
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.type, self.more = type, more


class Upload(Request):
    """Read pictures of more than 50 MB too, so that the family refuses them in its own words."""

    max_form_memory_size = 64 * 1024**2

    def _get_file_stream(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO()  # nothing to close
