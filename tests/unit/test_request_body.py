"""Calls are written as streams of a known length, with the picture in memory once."""

import base64
import email.policy
import json
import tracemalloc
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.dialects.call import CHUNK_BYTES, InlinePicture, ProviderCall, data_url, in_base64
from variations.model import Picture
from variations.request_body import write_body

LARGE = Picture(bytes(range(256)) * 40_960, "image/jpeg", 4000, 3000)  # 10 MiB


def form(picture, **fields):
    return ProviderCall("images/edits", fields, 1, 0, picture)


def in_json(**fields):
    return ProviderCall("images/edits", fields, 1, 0)


@given(content=st.binary(max_size=200), prompt=st.text(max_size=50))
def test_a_form_holds_its_fields_and_the_picture_and_is_as_long_as_it_says(content, prompt):
    body = write_body(form(Picture(content, "image/png", 1, 1), prompt=prompt.replace("\r", ""), n="2"))
    written = b"".join(body)

    assert len(written) == len(body)
    message = BytesParser(policy=email.policy.HTTP).parsebytes(
        f"Content-Type: {body.content_type}\r\n\r\n".encode() + written
    )
    parts = {part.get_param("name", header="Content-Disposition"): part for part in message.iter_parts()}
    assert list(parts) == ["prompt", "n", "image"]
    assert parts["image"].get_filename() == "source.png"
    assert content in written


@given(content=st.binary(max_size=200), text=st.text(max_size=50))
def test_a_json_body_is_what_json_makes_of_the_fields_and_is_as_long_as_it_says(content, text):
    picture = Picture(content, "image/webp", 1, 1)
    encoded = base64.b64encode(content).decode()

    body = write_body(in_json(prompt=text, images=[{"image_url": data_url(picture)}], files=[in_base64(picture)]))
    written = b"".join(body)

    assert (len(written), body.content_type) == (len(body), "application/json")
    assert json.loads(written) == {
        "prompt": text,
        "images": [{"image_url": f"data:image/webp;base64,{encoded}"}],
        "files": [encoded],
    }


@pytest.mark.parametrize("size", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 2])
def test_a_picture_of_several_chunks_is_encoded_as_a_whole_one_is(size):
    content = (bytes(range(251)) * (size // 251 + 1))[:size]

    assert b"".join(InlinePicture(content)) == base64.b64encode(content)


@pytest.mark.parametrize("call", [form(LARGE, n="1"), in_json(image=data_url(LARGE))], ids=["form", "json"])
def test_a_body_is_the_same_each_time_it_is_sent(call):
    body = write_body(call)

    assert b"".join(body) == b"".join(body)


@pytest.mark.parametrize("call", [form(LARGE, n="1"), in_json(image=data_url(LARGE))], ids=["form", "json"])
def test_a_large_picture_is_sent_without_being_copied(call):
    tracemalloc.start()
    try:
        sent = sum(map(len, write_body(call)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent > len(LARGE.content)
    assert peak < len(LARGE.content) / 4
