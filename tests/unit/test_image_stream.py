"""Pictures are decoded while an answer arrives: the same ones as from the whole of it, however it is cut."""

import base64
import itertools
import json
import random
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from variations.base64_text import Base64Text
from variations.dialects.answers import UNREADABLE, AnswerReader
from variations.errors import ProviderFailed, ProviderRefused, VariationError
from variations.image_stream import LONG_BYTES, MAX_REST_BYTES

LISTS = ["data", "images", "output"]
NAMES = ["b64_json", "base64", "b64", "image_base64", "image", "url", "image_url"]
LONG_PROMPT = 'Say "hé" \\ 画 \U0001f600 https://host/a+b\n' * 120
LONG_URL = "https://host/" + "a/b+c?d=e&" * 600
HEADS = ["", "data:image/png;base64,", "data:;base64,"]
CHUNK = 256 * 1024


def cut(body, sizes):
    start, sizes = 0, itertools.cycle(sizes)
    while start < len(body):
        end = start + next(sizes)
        yield body[start:end]
        start = end


def read(body, sizes):
    """Read an answer in chunks of these sizes, over and over: the pictures, and the rest or the kind of error."""
    pictures = []
    reader = AnswerReader(pictures.append)
    try:
        for chunk in cut(body, sizes):
            reader.feed(chunk)
        rest = reader.finish()
    except VariationError as error:
        return pictures, type(error)
    return pictures, (rest.usage, rest.warnings)


def read_whole(body):
    """Say the same of an answer that holds no error, with the whole of it in memory."""
    answer = json.loads(body)
    answer = {"data": answer} if isinstance(answer, list) else answer
    lists = {name: value for name, value in answer.items() if name in LISTS and isinstance(value, list)}
    found = {name: [picture_in(entry) for entry in lists[name] if not is_held_back(entry)] for name in lists}
    found = found or {"": [picture_in(answer)]}
    chosen = next((pictures for pictures in found.values() if any(pictures)), [])
    pictures = [picture for picture in chosen if picture]
    if not pictures:
        return [], ProviderFailed if next((found[name] for name in LISTS if name in lists), []) else ProviderRefused
    usage = answer.get("usage")
    return pictures, (usage if isinstance(usage, dict) else None, (UNREADABLE,) * (len(chosen) - len(pictures)))


def is_held_back(entry):
    return isinstance(entry, dict) and (entry.get("respect_moderation") is False or bool(entry.get("error")))


def picture_in(entry):
    if not isinstance(entry, dict):
        return picture(entry)
    for name in NAMES:
        value = entry.get(name)
        value = value.get("url") if isinstance(value, dict) else value
        found = value if name == "url" and isinstance(value, str) and value[:5] != "data:" else picture(value)
        if found:
            return found
    return None


def picture(text):
    if not isinstance(text, str):
        return None
    if text.startswith("https://"):
        return text
    text = re.sub(r"[ \t\r\n]", "", text.partition(",")[2] if text.startswith("data:") else text)
    try:  # Python's own lets "AAAA=" pass, which is one character too many
        return None if len(text) % 4 else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def noise(size, seed=0):
    return random.Random(seed).randbytes(size)


def encoded(content):
    return base64.b64encode(content).decode()


@st.composite
def picture_texts(draw, heads=HEADS):
    """Base64 around the length from which it is decoded as it comes, in lines or not, and some of it spoilt."""
    text = encoded(noise(draw(st.integers(1, 40) | st.integers(3060, 3090) | st.integers(2500, 12_000))))
    if end := draw(st.sampled_from(["", "", "\n", "\r\n", " "])):
        width = draw(st.sampled_from([3, 64, 76, 4096]))
        text = re.sub(f"(.{{{width}}})", rf"\1{end}", text)
    if spoilt := draw(st.sampled_from([""] * 5 + ["$", "A", "=", "-", "é", "\\", '"'])):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + spoilt + text[place:]
    return draw(st.sampled_from(heads)) + text


TEXTS = st.text(max_size=8) | st.sampled_from([LONG_PROMPT, "x" * 5000, encoded(noise(6000))])
KEYS = ["data", "image", "url", "a", 'é"\\']
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(st.sampled_from(["revised_prompt", "index", "seed", "é\\"]), JUNK, max_size=3)
URLS = st.sampled_from(["https://host/a.png", LONG_URL, LONG_URL[12:], ""])
VERDICTS = [{"respect_moderation": False}, {"respect_moderation": True}, {"error": {"code": "x"}}, {"error": None}]


@st.composite
def objects(draw):
    fields = draw(FIELDS)
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True)):
        heads = HEADS[1:] if name == "url" else HEADS
        value = draw(st.none() | URLS | picture_texts(heads) | picture_texts(heads) | picture_texts(heads))
        fields[name] = value if name == "url" else draw(st.sampled_from([value, value, {"url": value}]))
    fields |= draw(st.sampled_from([{}] * 12 + VERDICTS))
    return dict(draw(st.permutations(list(fields.items()))))


ENTRIES = objects() | picture_texts() | st.sampled_from([LONG_URL, LONG_PROMPT, "", {}, [], 7, None, ["x" * 5000]])


@st.composite
def documents(draw):
    entries = draw(st.lists(objects() | ENTRIES, max_size=4))
    shape = draw(st.sampled_from(["bare", "alone", "both", *LISTS]))
    if shape == "bare":
        return entries
    answer = {"created": 1, "usage": draw(JUNK), **draw(FIELDS)}
    if shape == "alone":
        answer |= {name: value for name, value in draw(objects()).items() if name != "error"}
    for name in draw(st.permutations(LISTS))[:2] if shape == "both" else [shape] * (shape in LISTS):
        answer[name] = entries
    return dict(draw(st.permutations(list(answer.items()))))


@st.composite
def bodies(draw):
    text = json.dumps(
        draw(documents()),
        indent=draw(st.sampled_from([None, None, 2, "\t"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", " : ")])),
        ensure_ascii=draw(st.booleans()),
    )
    # Neither of these stands anywhere but in texts; some encoders escape the first, and it may begin anywhere.
    escapes = draw(st.sampled_from([{}, {"/": r"\/"}, {"/": r"\/", "+": r"\u002b", "A": r"\u0041"}]))
    start = draw(st.just(0) | st.integers(0, len(text)))
    return (text[:start] + text[start:].translate(str.maketrans(escapes))).encode()


@st.composite
def spoilt_bodies(draw):
    body = draw(bodies())
    start = draw(st.integers(0, len(body)))
    spoilt = draw(st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"\\u", b"]", b"}", b"[", b"{", b",", b":"]))
    return body[:start] + spoilt + body[start + draw(st.integers(0, 3)) :]


SIZES = st.sampled_from([[1], [3], [4096], [CHUNK]]) | st.lists(st.integers(1, 6000), min_size=1, max_size=6)


@given(bodies(), SIZES)
def test_pictures_usage_and_warnings_are_those_of_the_whole_answer_in_whatever_form_and_chunks(body, sizes):
    assert read(body, sizes) == read_whole(body)


@given(st.binary(max_size=60) | spoilt_bodies(), SIZES)
def test_whatever_arrives_comes_to_the_same_in_chunks_as_in_one_piece(body, sizes):
    assert read(body, sizes) == read(body, [len(body) or 1])


def test_an_answer_may_be_cut_within_any_escape():
    content = noise(4000)
    entry = {"a": 'x"\\', "b": "", "b64_json": encoded(content) + "\r\n", "c": 'x"', "d": "", "e": "\\"}
    body = json.dumps([entry, encoded(b"last")]).replace("/", r"\/").replace("+", r"\u002b").encode()

    for place in (*range(1, 60), *range(LONG_BYTES, LONG_BYTES + 300), *range(len(body) - 70, len(body))):
        assert read(body, [place, len(body)]) == ([content, b"last"], (None, ()))


PICTURES = [noise(size, size) for size in (7000, 10, 3072, 3073, 5001)]
FORMS = [
    lambda content: {"b64_json": encoded(content), "revised_prompt": LONG_PROMPT},
    lambda content: {"image_url": {"url": f"data:;base64,{encoded(content)}"}},
    encoded,
]


@pytest.mark.parametrize(
    ("head", "tail"), [("[", "]"), ('{"a": {"data": ["QUJD"]}, "data": [', "]}")], ids=["bare", "list"]
)
@pytest.mark.parametrize("form", FORMS, ids=["object", "object in object", "text"])
def test_every_picture_is_handed_over_before_the_next_one_begins(form, head, tail):
    pictures = []
    reader = AnswerReader(pictures.append)
    reader.feed(head.encode())
    for count, content in enumerate(PICTURES, 1):
        reader.feed(json.dumps(form(content)).encode())
        assert pictures == PICTURES[:count]
        reader.feed(b" , " if count < len(PICTURES) else tail.encode())

    assert reader.finish().warnings == ()
    assert pictures == PICTURES


def peak_of(work):
    """Do it, and return what came of it and how many bytes it took at once."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", HEADS[:2], ids=["base64", "url"])
def test_ten_pictures_take_the_memory_of_one(head):
    content, same = noise(1_500_000), []
    body = json.dumps({"data": [{"image_url": {"url": head + encoded(content)}}] * 10}).encode()
    reader = AnswerReader(lambda picture: same.append(picture == content))

    _, peak = peak_of(lambda: [reader.feed(chunk) for chunk in cut(body, [CHUNK])])

    assert same == [True] * 10
    assert peak < 2 * len(content) + 4 * CHUNK


def whole_entries(form):
    """Return an answer, and where each of its entries ends."""
    body, ends = b'{"data": [', []
    for content in PICTURES:
        body += (b", " if ends else b"") + json.dumps(form(content)).encode()
        ends.append(len(body))
    return body + b'], "usage": {"total_tokens": 7}}', ends


@given(st.data(), SIZES)
def test_an_answer_that_is_cut_off_fails_with_the_pictures_taken_that_were_whole(data, sizes):
    body, ends = whole_entries(data.draw(st.sampled_from(FORMS)))
    place = data.draw(st.integers(0, len(body) - 1))
    place = data.draw(st.sampled_from([place, *(end + step for end in ends for step in (-2, -1, 0, 1))]))

    assert read(body[:place], sizes) == (PICTURES[: sum(end <= place for end in ends)], ProviderFailed)


GARBAGE = {
    "list ends": b"]",
    "object ends": b"}",
    "no JSON": b"@",
    "no UTF-8": b'"\xff"',
    "short text": b', {"b64_json": "\\x"}',
    "long text": b', {"b64_json": "' + b"\\x" * 5000 + b'"}',
    "half an escape": b', {"b64_json": "' + b"A" * 5000 + b'\\u00"}',
    "depth": b"[" * 10_000,
    "depth of an entry": b", " + b"[" * 10_000 + b"]" * 10_000 + b", ]",
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("size", [7, 1000, 10**6])
def test_an_answer_that_turns_into_garbage_fails_with_the_pictures_taken_that_were_whole(garbage, size):
    body, ends = whole_entries(FORMS[0])

    for count, end in list(enumerate(ends, 1))[::2]:
        assert read(body[:end] + garbage + b"]}", [size]) == (PICTURES[:count], ProviderFailed)


MARK = "0123456789abcdef" * 2
LONG_TEXTS = {"prompt": LONG_PROMPT, "like base64": "A" * 8000, "marks": MARK, "more marks": f"{MARK}-0", "old": "@@0"}


@pytest.mark.parametrize("text", LONG_TEXTS.values(), ids=LONG_TEXTS)
@pytest.mark.parametrize("place", [{"note": 0}, {"notes": [0]}, {"image": 0}], ids=["field", "list", "like a picture"])
def test_a_text_beside_the_pictures_stays_as_it_is(text, place):
    usage = json.loads(json.dumps(place).replace("0", json.dumps(text)))
    body = json.dumps({"data": [{"b64_json": encoded(PICTURES[0]), "revised_prompt": text}], "usage": usage}).encode()

    assert read(body, [1000]) == ([PICTURES[0]], (usage, ()))


@pytest.mark.parametrize("escape", ["/", r"\/", r"\u002f"])
@pytest.mark.parametrize("name", ["url", "image_url", "image", None])
def test_a_long_link_stays_a_link(name, escape):
    entry = LONG_URL if name is None else {name: LONG_URL}
    body = json.dumps([entry, encoded(PICTURES[0])]).replace("https://", f"https:{escape}{escape}").encode()

    assert read(body, [1000]) == ([LONG_URL, PICTURES[0]], (None, ()))


def test_a_long_error_says_its_first_words():
    reader = AnswerReader(list)
    reader.feed(json.dumps({"error": ["blocked by the filter " * 300]}).encode())

    with pytest.raises(ProviderRefused, match="blocked by the filter"):
        reader.finish()


@pytest.mark.parametrize("stray", ["$", "-", "_", "=", "A", "é", "\\", '"', "\x00", "\x7f"])
@pytest.mark.parametrize("near", [4, LONG_BYTES, 6000])
def test_one_stray_character_spoils_its_own_picture_and_no_other(stray, near):
    text = encoded(noise(5000))
    for place in range(near - 4, near + 5):
        spoilt = text[:place] + stray + text[place:]
        body = json.dumps([{"b64_json": spoilt}, {"b64_json": text}], ensure_ascii=False).encode()
        body = body.replace(b"/", b"\\/")
        before = len(f'[{{"b64_json": "{text[:place]}'.replace("/", "\\/"))
        for sizes in ([1000], [before, 1, 1, len(body)], [before + 1, len(body)], [before + 2, len(body)], [len(body)]):
            assert read(body, sizes) == ([noise(5000)], (None, (UNREADABLE,)))


@pytest.mark.parametrize("head", [b"data:image/png;base64,", b""])
@pytest.mark.parametrize("between", [[], [b""], [b"\n"], [b" ", b"\r\n"], [b"", b"\t", b""]], ids=repr)
def test_nothing_but_white_space_may_follow_what_fills_the_last_four(head, between):
    ended, continued = Base64Text(), Base64Text()
    for piece in (head + b"QUJDRA==", *between):
        ended.feed(piece)
        continued.feed(piece)
    continued.feed(b"QUJD")

    assert ended.finish() == b"ABCD"
    assert continued.finish() is None


def test_the_head_of_a_data_url_stands_at_the_beginning_alone():
    text = Base64Text()
    for piece in (b"data:,QUJD", b"data:,QUJD"):
        text.feed(piece)

    assert text.finish() is None


ENDLESS = [b'{"p": "', b'{"p": ["', b'{"n": [0', b'["https:\\/\\/', b'[{"url": "\\/a', b'{"a": {"image": "', b""]


@pytest.mark.parametrize("start", ENDLESS)
def test_more_text_than_any_answer_has_is_refused_without_being_held(start):
    reader = AnswerReader(list)
    reader.feed(start + b"x" * (MAX_REST_BYTES - len(start)))

    with pytest.raises(ProviderFailed):
        reader.feed(b"x")


def test_lists_in_lists_take_little_more_memory_than_their_text():
    outcome, peak = peak_of(lambda: read(b"[" * CHUNK, [4096]))

    assert outcome == ([], ProviderFailed)
    assert peak < 4 * CHUNK


@pytest.mark.parametrize("name", ["message", "b64_json"])
@pytest.mark.parametrize("piece", [b'\\"', b"\\\\", b"\\u0022", b'\\\\\\"'], ids=repr)
def test_the_time_grows_with_the_length_of_a_text_full_of_escapes_and_not_faster(name, piece):
    text = piece * (600_000 // len(piece))  # squared, minutes
    body = b'{"data": ["%s", {"%s": "%s"}]}' % (encoded(PICTURES[0]).encode(), name.encode(), text)

    for size in (100, len(body)):
        assert read(body, [size]) == ([PICTURES[0]], (None, (UNREADABLE,)))


@pytest.mark.parametrize("names", list(itertools.permutations(LISTS, 2)))
def test_the_same_pictures_in_two_lists_are_taken_once(names):
    entries = [{"b64_json": encoded(content)} for content in PICTURES]

    assert read(json.dumps(dict.fromkeys(names, entries)).encode(), [1000]) == (PICTURES, (None, ()))


@pytest.mark.parametrize("verdict", [{"respect_moderation": False}, {"error": {"code": "SensitiveContent"}}])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_long_picture_that_was_held_back_is_left_out_wherever_the_entry_says_so(verdict, is_first):
    shown = {"b64_json": encoded(PICTURES[0])}
    held = verdict | shown if is_first else shown | verdict

    assert read(json.dumps([held, shown, held]).encode(), [1000]) == ([PICTURES[0]], (None, ()))
    assert read(json.dumps([held]).encode(), [1000]) == ([], ProviderRefused)


def test_names_that_come_twice_confuse_no_pictures():
    long = [encoded(noise(4000, seed)) for seed in range(5)]
    twice = f'{{"image": "{long[0]}", "b64": "{long[1]}", "b64": "{long[2]}"}}'
    after = json.dumps({"b64_json": long[3], "image": long[4]})

    assert read(f"[{twice}, {after}]".encode(), [1000]) == ([noise(4000, 2), noise(4000, 3)], (None, ()))


def test_names_may_be_written_with_escapes_too():
    long = "QUJD" * LONG_BYTES

    pictures, _ = read(b'{"d\\u0061ta": [{"b64\\u005fjson": "%s"}]}' % long.encode(), [1000])

    assert pictures == [base64.b64decode(long)]
