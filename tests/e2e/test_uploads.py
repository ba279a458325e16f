"""Drop a picture in the bucket, find variations: the whole way, on real input."""

import io
import itertools
import json
import struct
import zlib
from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from infra.local.build import ROOT
from infra.local.demo import EXAMPLE, Demo


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def difference(one, other):
    """The mean distance of two pictures' pixels, 0 to 255."""
    small = [np.asarray(image.convert("RGB").resize((64, 64)), np.float32) for image in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())


def likeness(one, other):
    """How alike light and dark lie in two pictures, -1 to 1."""
    small = [np.asarray(image.convert("L").resize((64, 64)), np.float32).ravel() for image in (one, other)]
    return float(np.corrcoef(*small)[0, 1])


def declared_png(width, height):
    """A PNG whose header claims a size, with next to no pixels behind it."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_the_demo_makes_four_different_pictures_that_are_clearly_of_the_source(stack, capsys):
    stack.fault(fast=False)

    manifest = Demo(stack.local.description).run(EXAMPLE, None)

    made = stack.pictures(manifest)
    source = ImageOps.fit(Image.open(EXAMPLE), (1024, 1024), centering=(0.5, 0.25))
    assert [image.size for image in made] == [(1024, 1024)] * 4
    assert min(difference(one, other) for one, other in itertools.combinations(made, 2)) > 8
    assert min(likeness(image, source) for image in made) > 0.6
    shown = capsys.readouterr().out
    for name in ("sheet.png", "index.html"):
        assert str(stack.local.folder / "demo" / name) in shown
        assert (stack.local.folder / "demo" / name).exists()


PORTRAIT = Image.new("RGB", (300, 400), "navy")
PORTRAIT.paste("gold", (0, 0, 300, 100))  # the sky, on top when upright


def portrait_lying_on_its_side():
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF: turn it by 90 degrees clockwise to see it upright
    return encoded(PORTRAIT.rotate(90, expand=True), "JPEG", exif=exif)


@pytest.mark.parametrize("dialect", ["edits", "variations"])
def test_a_portrait_with_exif_orientation_comes_upright(stack, dialect):
    stack.reload(ProviderDialect=dialect)

    manifest = stack.vary(f"{dialect}.jpg", portrait_lying_on_its_side(), n="1", size="512x512")

    assert (manifest["source"]["width"], manifest["source"]["height"]) == (300, 400)
    assert manifest["dialect"] == dialect
    (made,) = stack.pictures(manifest)
    rows = np.asarray(made.convert("L"), np.float32).mean(axis=1)
    assert rows[:40].mean() > rows[-40:].mean() + 50, "the light sky is on top"


def logo():
    image = Image.new("RGBA", (400, 200))
    ImageDraw.Draw(image).ellipse((120, 20, 280, 180), fill="crimson")
    return encoded(image, "PNG")


def test_a_transparent_logo_stays_transparent(stack):
    stack.fault(fast=False)

    manifest = stack.vary("logo.png", logo(), n="1", size="512x512")

    (made,) = stack.pictures(manifest)
    assert made.mode == "RGBA"
    assert made.getpixel((2, 2))[3] == 0
    assert made.getpixel((256, 256))[3] == 255


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param("large.jpg", partial(encoded, Image.new("RGB", (6000, 4000), "teal"), "JPEG"), id="24 megapixels"),
        pytest.param("picture.webp", partial(encoded, PORTRAIT, "WEBP"), id="WebP"),
        pytest.param("picture.gif", partial(encoded, PORTRAIT, "GIF"), id="GIF"),
        pytest.param("picture.avif", partial(encoded, PORTRAIT, "AVIF"), id="AVIF"),
        pytest.param("photo.png", partial(encoded, PORTRAIT, "JPEG"), id="a JPEG that calls itself PNG"),
    ],
)
def test_every_common_kind_of_picture_becomes_variations_of_the_asked_size(stack, name, make):
    manifest = stack.vary(name, make(), n="2", size="256x256")

    assert manifest["state"] == "succeeded"
    assert [image.size for image in stack.pictures(manifest)] == [(256, 256)] * 2


def test_files_that_are_no_pictures_make_failed_jobs_that_say_why(stack):
    expected = {
        "text.png": (b"This is a text.", "unsupported_image"),
        "truncated.jpg": (encoded(PORTRAIT, "JPEG")[:1500], "unsupported_image"),
        "empty.jpg": (b"", "unsupported_image"),
        "bomb.png": (declared_png(20_000, 10_000), "unsupported_image"),
        "huge.png": (declared_png(10_000, 6_000), "source_too_large"),
    }

    manifests = stack.vary_all([(name, content) for name, (content, _) in expected.items()])

    assert [(manifest["state"], manifest["error"]["code"]) for manifest in manifests] == [
        ("failed", code) for _, code in expected.values()
    ]
    assert all(manifest["error"]["message"] for manifest in manifests)
    assert stack.calls() == []


@pytest.mark.parametrize("name", ["a b+c%20ü(1).png", "k" * 887 + ".png"], ids=["odd characters", "900 characters"])
def test_any_key_works_and_results_lie_beside_it(stack, name):
    manifest = stack.vary(name, encoded(PORTRAIT, "PNG"), n="1", size="256x256")

    assert manifest["results"][0]["key"] == f"uploads/{name}/{manifest['job_id']}/variation-01.png"
    stack.pictures(manifest)


def test_ten_uploads_at_once_make_ten_manifests_and_forty_pictures(stack):
    content = EXAMPLE.read_bytes()

    manifests = stack.vary_all([(f"ten/{number}.jpg", content) for number in range(10)])

    assert [manifest["state"] for manifest in manifests] == ["succeeded"] * 10
    assert len({result["key"] for manifest in manifests for result in manifest["results"]}) == 40
    assert len(stack.calls()) == 10
    assert stack.waiting("dead_letter_queue_url") == 0


def test_one_event_delivered_five_times_at_once_is_one_job_and_one_paid_call(stack):
    # Not below the upload prefix, so that the upload itself starts nothing.
    stack.s3.put_object(Bucket=stack["uploads_bucket"], Key="elsewhere.jpg", Body=EXAMPLE.read_bytes())
    event = json.loads(json.loads((ROOT / "events/process_jobs.json").read_text())["Records"][0]["body"])
    event["detail"]["bucket"]["name"] = stack["uploads_bucket"]
    event["detail"]["object"]["key"] = "elsewhere.jpg"
    entries = [{"Id": str(number), "MessageBody": json.dumps(event)} for number in range(5)]

    stack.sqs.send_message_batch(QueueUrl=stack["jobs_queue_url"], Entries=entries)

    (manifest,) = stack.wait_for("elsewhere.jpg")
    assert manifest["state"] == "succeeded"
    assert len(stack.calls()) == 1


def test_a_provider_that_asks_to_wait_gets_the_job_later(stack):
    stack.fault(status=429, headers={"Retry-After": "1"}, times=1)

    manifest = stack.vary("busy.jpg", EXAMPLE.read_bytes(), n="1", size="256x256")

    assert manifest["state"] == "succeeded"
    assert [attempt["outcome"] for attempt in manifest["attempts"]] == ["provider_busy", "answered"]


def test_deploying_the_same_again_changes_nothing(stack):
    stack.reload()
    before = stack.described

    stack.reload()

    assert stack.described == before
