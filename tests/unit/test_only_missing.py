"""A picture has its variations when the same was asked of the same picture before, and something came of it."""

from dataclasses import replace
from itertools import repeat

import pytest
from variations.errors import ProviderRefused
from variations.interpreter import Interpreter
from variations.model import SourceLocation
from variations.orders import order_of_request
from variations.service import Service

from tests.fakes import Clock, FakeBudget, FakeJobs, FakeProvider, FakeStorage
from tests.unit.test_service import SECONDS, Crash, Point, broken, draw, make_settings, paint

KEY = "uploads/a b+c%20ü(1).png"


class Shop:
    """A service, and a picture of which variations are asked now and then."""

    def __init__(self, script=None):
        self.storage, self.clock = FakeStorage(), Clock()
        self.provider = FakeProvider(script or repeat(paint))
        interpreter = Interpreter(self.provider, None, "auto", self.clock)
        settings = make_settings(allowed_source_buckets=("others",))
        jobs = FakeJobs(self.clock)
        parts = (interpreter, self.storage, jobs, FakeBudget(), lambda _: None, lambda *_: None, settings)
        self.service = Service(*parts, clock=self.clock)
        self.storage.buckets["others"] = {}
        self.etag = self.upload()

    def upload(self, colour="teal", bucket="uploads", key=KEY, **metadata):
        return self.storage.put(bucket, key, draw(colour=colour), "image/png", metadata).etag

    def order(self, bucket="uploads", key=KEY, etag=None, **options):
        source = {"bucket": bucket, "key": key, "etag": etag}
        asked = {"source": source, "only_missing": True, "size": "64x64", "n": 2, **options}
        return order_of_request(asked, caller="ann", delivery_id="delivery-1")

    def make(self, **asked):
        return self.service.process(self.order(**asked), seconds=SECONDS)

    def has(self, **asked):
        return self.service.has_variations(self.order(**asked))


def test_a_picture_that_was_never_asked_about_has_none():
    shop = Shop()

    assert not shop.has()
    assert not shop.has(etag=shop.etag)


@pytest.mark.parametrize("first", [True, False], ids=["with an etag before", "without"])
@pytest.mark.parametrize("second", [True, False], ids=["with an etag now", "without"])
def test_the_same_options_of_the_same_picture_are_not_missing(first, second):
    shop = Shop()

    shop.make(etag=shop.etag if first else None)

    assert shop.has(etag=shop.etag if second else None)


@pytest.mark.parametrize("options", [{"n": 3}, {"size": "32x32"}, {"prompt": "a cat"}, {"n": None}])
def test_other_options_are_missing(options):
    shop = Shop()

    shop.make()

    assert not shop.has(**options)


def test_options_that_are_written_in_another_way_are_the_same():
    shop = Shop()

    shop.make(n="2", options={"user": "ada"})

    assert shop.has(user="ada", n=2)


def test_a_picture_that_was_replaced_is_missing_where_its_etag_is_told():
    shop = Shop()
    shop.make()

    replaced = shop.upload("red")

    assert not shop.has(etag=replaced)
    assert shop.has(etag=shop.etag)
    assert shop.has(), "who tells no etag means whichever picture lies there"


def test_each_upload_is_looked_for_among_all_jobs_of_its_key():
    shop = Shop()
    shop.make(etag=shop.etag)
    replaced = shop.upload("red")
    shop.make(etag=replaced)

    assert shop.has(etag=shop.etag)
    assert shop.has(etag=replaced)


def test_the_same_key_in_another_bucket_is_missing():
    shop = Shop()
    etag = shop.upload(bucket="others")

    shop.make(etag=etag)

    assert not shop.has(bucket="others", etag=etag)


def test_another_key_that_begins_alike_is_missing():
    shop = Shop()
    longer = f"{KEY}/second.png"
    shop.upload(key=longer)

    shop.make(key=longer)

    assert not shop.has()


def test_a_job_that_failed_leaves_its_variations_missing():
    shop = Shop(script=[ProviderRefused("No.")])

    assert shop.make().state == "failed"

    assert not shop.has()


def test_a_job_that_failed_does_not_hide_one_that_went_well():
    shop = Shop(script=[ProviderRefused("No."), paint])

    states = [shop.make(etag=etag).state for etag in (None, shop.etag)]

    assert states == ["failed", "succeeded"]
    assert shop.has()


def test_a_job_that_brought_only_some_pictures_is_not_made_again():
    shop = Shop(script=[lambda call: replace(paint(call), images=paint(call).images[:1]), ProviderRefused("No.")])

    assert shop.make().state == "partial"

    assert shop.has()


@pytest.mark.parametrize(
    "point",
    [Point("provider", "send"), Point("storage", "store_result", 2), Point("storage", "store_manifest")],
    ids=str,
)
def test_a_job_that_has_not_ended_has_none_yet(point):
    shop = Shop()

    with broken(shop, point, Crash()), pytest.raises(Crash):
        shop.make()

    assert not shop.has()


def test_an_upload_counts_for_who_asks_for_nothing_special():
    shop = Shop()
    order = shop.order(etag=shop.etag, size=None, n=None)
    uploaded = replace(order, source=SourceLocation("uploads", KEY), caller="s3:upload", only_missing=False)

    shop.service.process(uploaded, seconds=SECONDS)

    assert shop.has(size=None, n=None)
    assert not shop.has()


def test_looking_for_what_is_missing_pays_nothing_and_writes_nothing():
    shop = Shop()
    shop.make()
    before = {bucket: sorted(keys) for bucket, keys in shop.storage.buckets.items()}

    assert [shop.has(), shop.has(n=3)] == [True, False]

    assert {bucket: sorted(keys) for bucket, keys in shop.storage.buckets.items()} == before
    assert len(shop.provider.calls) == 1
