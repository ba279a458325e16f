"""What a picture file says beside its pixels is dropped, and the pixels are the very same."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin
from variations.metadata import without_metadata

SECRET = b"48.2082N 16.3738E"
EXIF = Image.Exif()
EXIF[0x010E] = SECRET.decode()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
DRAWN = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
XMP = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"


def encode(kind, image=DRAWN, **how):
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def pixels(content):
    """Every frame as it is seen, and what it is seen with."""
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for place in range(getattr(image, "n_frames", 1) if image.format != "MPO" else 1):
            image.seek(place)
            frames.append((image.mode, image.tobytes(), image.info.get("duration")))
        look = [image.info.get(name) for name in ("icc_profile", "gamma", "transparency", "adobe_transform", "loop")]
        return frames, look


def texts():
    """A PNG's texts in each of the three ways."""
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", SECRET.decode())
    info.add_text("Comment", SECRET.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return info


def chunk(kind, content=b""):
    buffer = io.BytesIO()
    PngImagePlugin.putchunk(buffer, kind, content)
    return buffer.getvalue()


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def with_segments(*segments, **how):
    """Write a JPEG with other segments behind its first one, JFIF."""
    plain = encode("JPEG", **how)
    return plain[:20] + b"".join(segments) + plain[20:]


def with_chunks(*chunks):
    """Write a WebP with other chunks behind its pixels."""
    plain = encode("WEBP", icc_profile=PROFILE, exif=EXIF, xmp=XMP)
    body = plain[12:] + b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


PNG, JPEG = encode("PNG", icc_profile=PROFILE), encode("JPEG", icc_profile=PROFILE)
FRAMES = {"save_all": True, "append_images": [DRAWN.rotate(90), DRAWN.rotate(180)], "duration": 70, "loop": 3}
CMYK = Image.merge("CMYK", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180, 270)])
JFIF_THUMBNAIL = b"JFIF\0\1\2\0\0\1\0\1\5\1" + SECRET[:15]
TOLD = {
    "PNG with EXIF and texts": encode("PNG", exif=EXIF, pnginfo=texts(), icc_profile=PROFILE, dpi=(300, 300)),
    "PNG with texts behind its pixels": PNG[:-12] + chunk(b"tEXt", b"Comment\0" + SECRET) + PNG[-12:],
    "PNG with content credentials": PNG[:33] + chunk(b"caBX", SECRET) + PNG[33:],
    "PNG with a chunk that nobody knows": PNG[:33] + chunk(b"prVt", SECRET) + PNG[33:],
    "PNG with something behind it": PNG + SECRET,
    "APNG": encode("PNG", exif=EXIF, **FRAMES),
    "palette with transparency": encode("PNG", DRAWN.convert("P"), transparency=3, pnginfo=texts()),
    "JPEG with EXIF, XMP and a comment": encode("JPEG", exif=EXIF, xmp=XMP, comment=SECRET, icc_profile=PROFILE),
    "progressive JPEG with EXIF": encode("JPEG", exif=EXIF, progressive=True, restart_marker_rows=1),
    "JPEG with content credentials": with_segments(segment(0xEB, b"JP\0\1" + SECRET)),
    "JPEG with IPTC": with_segments(segment(0xED, b"Photoshop 3.0\0" + SECRET), icc_profile=PROFILE),
    "JPEG with other segments": with_segments(*(segment(marker, SECRET) for marker in range(0xE0, 0xF0))),
    "JPEG with a small picture": JPEG[:2] + segment(0xE0, JFIF_THUMBNAIL + SECRET) + JPEG[20:],
    "JPEG with a second picture": encode("MPO", save_all=True, append_images=[DRAWN.rotate(90)], exif=EXIF),
    "JPEG with something behind it": JPEG + SECRET,
    "CMYK JPEG with EXIF": encode("JPEG", CMYK, exif=EXIF),
    "WebP with EXIF and XMP": encode("WEBP", exif=EXIF, xmp=XMP, icc_profile=PROFILE, lossless=True),
    "WebP with other chunks": with_chunks((b"C2PA", SECRET), (b"teSt", SECRET[:-1])),
    "WebP with something behind it": encode("WEBP") + SECRET,
    "WebP with a chunk behind it": encode("WEBP") + b"ALPH\x11\0\0\0" + SECRET + b"\0",
    "animated WebP": encode("WEBP", exif=EXIF, xmp=XMP, **FRAMES),
    "transparent WebP": encode("WEBP", DRAWN.convert("LA").convert("RGBA"), exif=EXIF),
}
PLAIN = {
    "PNG": PNG,
    "APNG": encode("PNG", **FRAMES),
    "JPEG": JPEG,
    "CMYK JPEG": encode("JPEG", CMYK),
    "WebP": encode("WEBP", icc_profile=PROFILE),
    "animated WebP": encode("WEBP", **FRAMES),
    "GIF": encode("GIF", comment=SECRET),
    "AVIF": encode("AVIF", exif=EXIF),
    "nothing": b"",
}


@pytest.mark.parametrize("content", TOLD.values(), ids=TOLD)
def test_what_a_file_says_is_dropped_and_its_pixels_are_the_same(content):
    bare = without_metadata(content)

    assert SECRET[:15] in content
    assert SECRET[:15] not in bare
    assert len(bare) < len(content)
    assert pixels(bare) == pixels(content)
    with Image.open(io.BytesIO(bare)) as image:
        assert not image.getexif()
        assert not {"exif", "xmp", "comment", "mp"} & set(image.info)
    assert without_metadata(bare) is bare


@pytest.mark.parametrize("content", PLAIN.values(), ids=PLAIN)
def test_a_file_that_says_nothing_and_one_of_another_format_is_not_copied(content):
    assert without_metadata(content) is content


def test_a_webp_does_not_say_that_there_is_what_there_is_no_more():
    assert without_metadata(TOLD["WebP with EXIF and XMP"])[20] & 0x0C == 0


def test_the_resolution_is_kept():
    for kind in ("PNG", "JPEG"):
        with Image.open(io.BytesIO(without_metadata(encode(kind, dpi=(300, 300), exif=EXIF)))) as image:
            assert round(image.info["dpi"][0]) == 300


@given(st.sampled_from([PNG[:8], JPEG[:2], JPEG[:20], b"RIFF\x40\0\0\0WEBP"]), st.binary(max_size=120))
def test_any_bytes_become_no_more_and_stay_as_they_are_the_second_time(head, rest):
    bare = without_metadata(head + rest)

    assert len(bare) <= len(head + rest) + 8
    assert without_metadata(bare) == bare
