"""Make what a provider would send: PNG files of an exact size that no two are alike, and the answer that holds them.

Real ones hardly compress, and take a while to decode: as here, where rows of noise have as many bits of entropy as
the size leaves them, and deflate has Huffman codes and nothing that repeats.
"""

import base64
import functools
import random
import struct
import zlib

EDGE = 1024  # pixels; what the workers ask for
ROW_BYTES = 1 + 3 * EDGE  # a filter byte, and RGB
SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Width, height, 8 bits, RGB, deflate, adaptive filters, not interlaced: PNG specification, 11.2.1.
HEADER = struct.pack(">IIBBBBB", EDGE, EDGE, 8, 2, 0, 0, 0)
FILLER = b"noSe"  # ancillary, private, safe to copy: it stands where real ones have their C2PA manifest
CHUNK_OVERHEAD = 12
CODE_BITS = 0.25  # by which Huffman's codes are longer than the entropy, at most
BLACK_BITS = 1.1  # what a byte takes in the black rows below the noise
ROOM_BYTES = 16 * 1024  # for the frames of deflate, and the filler's least


@functools.lru_cache(maxsize=32)
def make_picture(seed: int, size: int) -> bytes:
    """Make a valid PNG of EDGE x EDGE pixels and exactly `size` bytes, 512 KiB at least; one for each seed."""
    noise = random.Random(seed)
    bits = min(8, 8 * size // (EDGE * ROW_BYTES) + 1)  # of entropy in a byte
    rows = int((8 * (size - ROOM_BYTES) / ROW_BYTES - BLACK_BITS * EDGE) / (bits + CODE_BITS - BLACK_BITS))
    rows = min(EDGE, rows)
    fewer_values = bytes(value & (1 << bits) - 1 for value in range(256))
    noisy = (noise.randbytes(ROW_BYTES - 1).translate(fewer_values) for _ in range(rows))
    pixels = b"".join(b"\0" + row for row in noisy) + bytes(ROW_BYTES) * (EDGE - rows)
    huffman = zlib.compressobj(1, strategy=zlib.Z_HUFFMAN_ONLY)
    image = _chunk(b"IDAT", huffman.compress(pixels) + huffman.flush())
    whole = SIGNATURE + _chunk(b"IHDR", HEADER), image + _chunk(b"IEND", b"")
    left = size - sum(map(len, whole)) - CHUNK_OVERHEAD
    return _chunk(FILLER, noise.randbytes(left)).join(whole)


@functools.lru_cache(maxsize=2)
def make_answer(n: int, size: int) -> bytes:
    """Make the body of an Images API answer with the pictures 1 to n, as OpenAI writes it."""
    images = b",".join(b'{"b64_json":"%s"}' % base64.b64encode(make_picture(seed, size)) for seed in range(1, n + 1))
    usage = b'{"input_tokens":323,"input_tokens_details":{"image_tokens":306,"text_tokens":17},'
    usage += b'"output_tokens":%d,"total_tokens":%d}' % (1056 * n, 323 + 1056 * n)
    head = b'{"created":1795370711,"background":"opaque","output_format":"png","quality":"medium","size":"1024x1024",'
    return head + b'"data":[%s],"usage":%s}' % (images, usage)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
