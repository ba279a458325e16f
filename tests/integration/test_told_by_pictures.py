"""What of a source's metadata leaves the stack, and what of a provider's is stored; docs/security.md shows it."""

import io

import pytest
from PIL import Image

from tests.documents import show_seen
from tests.fakes import Sent
from tests.integration.made_pictures import encode
from tests.unit.test_metadata import DRAWN, EXIF, PLAIN, SECRET, TOLD, pixels
from tests.unit.test_service import World

UNTOUCHED, BARE, ANEW = "as it is", "without it", "written anew, without it"
LYING = Image.Exif()
LYING.update({**EXIF, 0x0112: 6})
ROWS = {
    "PNG: EXIF, XMP, texts such as prompts": (TOLD["PNG with EXIF and texts"], BARE, BARE),
    "PNG: texts behind its pixels": (TOLD["PNG with texts behind its pixels"], BARE, BARE),
    "PNG: content credentials (C2PA), chunks that nobody knows": (TOLD["PNG with content credentials"], BARE, BARE),
    "PNG: anything behind it": (TOLD["PNG with something behind it"], BARE, BARE),
    "JPEG: EXIF, XMP, a comment": (TOLD["JPEG with EXIF, XMP and a comment"], BARE, BARE),
    "JPEG: IPTC": (TOLD["JPEG with IPTC"], BARE, BARE),
    "JPEG: content credentials (C2PA)": (TOLD["JPEG with content credentials"], BARE, BARE),
    "JPEG: a small picture of it (JFIF)": (TOLD["JPEG with a small picture"], BARE, BARE),
    "JPEG: a second picture, anything behind it": (TOLD["JPEG with a second picture"], BARE, BARE),
    "JPEG: EXIF that says it lies on its side": (encode("JPEG", DRAWN.rotate(90, expand=True), exif=LYING), ANEW, ANEW),
    "WebP: EXIF, XMP": (TOLD["WebP with EXIF and XMP"], BARE, BARE),
    "WebP: content credentials (C2PA), chunks that nobody knows": (TOLD["WebP with other chunks"], BARE, BARE),
    "GIF: a comment": (PLAIN["GIF"], ANEW, ANEW),
    "AVIF: EXIF": (PLAIN["AVIF"], ANEW, ANEW),
    "nothing but a colour profile": (PLAIN["PNG"], UNTOUCHED, UNTOUCHED),
}
SEEN: dict[str, list[str]] = {}


def told(made, content):
    """Say what became of a file."""
    if made == content:
        return UNTOUCHED
    assert SECRET not in made
    return BARE if len(made) < len(content) and pixels(made) == pixels(content) else ANEW


def play(content, **chosen):
    """Have a picture varied by a provider that answers just that picture; return what was sent, and what is stored."""
    world = World([Sent((content,))], **chosen)
    with Image.open(io.BytesIO(content)) as image:
        kind = image.format.lower() if image.format in {"PNG", "JPEG", "WEBP"} else "jpeg"
    world.upload(content, n="1", size="auto", output_format="jpeg" if kind == "mpo" else kind)
    world.deliver()
    (call,) = world.provider.calls
    return call.picture.content, world.storage.get("results", world.manifest["results"][0]["key"]).content


@pytest.mark.parametrize("what", ROWS)
def test_metadata_leave_and_are_stored_as_the_stack_says(what):
    content, sent_bare, stored_bare = ROWS[what]
    strict = play(content, source_metadata="strip", result_metadata="strip")
    loose = play(content, source_metadata="keep", result_metadata="keep")

    outcomes = [told(made, content) for made in (strict[0], loose[0], loose[1], strict[1])]

    plain = ANEW if sent_bare == ANEW else UNTOUCHED
    assert outcomes == [sent_bare, plain, plain, stored_bare]
    SEEN[what] = [what, *outcomes]


def test_the_document_shows_what_became_of_the_metadata():
    heads = ["what a file tells", "sent (`strip`)", "sent (`keep`)", "stored (`keep`)", "stored (`strip`)"]
    show_seen("security.md", "metadata", heads, SEEN, ROWS)
