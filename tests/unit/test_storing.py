"""Pictures are stored while others come, and no more bytes wait for it than fit into memory."""

import threading

import pytest
from variations import storing
from variations.storing import MAX_BYTES, PICTURES_AT_ONCE, StoringPool

LONG = 30  # seconds, in which everything has happened that is going to


@pytest.fixture
def gate():
    """What every store waits for; open in the end, so that no thread stays behind."""
    gate = threading.Event()
    yield gate
    gate.set()


def submit_beside(pool, size, store):
    """Submit from another thread; return what tells when there was room, and the thread."""
    let_in = threading.Event()

    def submit():
        pool.submit(size, store)
        let_in.set()

    thread = threading.Thread(target=submit)
    thread.start()
    return let_in, thread


def test_what_is_stored_comes_back_and_so_does_what_went_wrong():
    pool = StoringPool()

    assert pool.submit(1, lambda: "stored").result(LONG) == "stored"
    with pytest.raises(ZeroDivisionError):
        pool.submit(1, lambda: 1 / 0).result(LONG)


def test_several_pictures_are_stored_at_once():
    pool, together = StoringPool(), threading.Barrier(PICTURES_AT_ONCE, timeout=LONG)

    stored = [pool.submit(1, together.wait) for _ in range(PICTURES_AT_ONCE)]

    assert sorted(each.result(LONG) for each in stored) == list(range(PICTURES_AT_ONCE))


@pytest.mark.parametrize("sizes", [[MAX_BYTES - 1, 2], [1, MAX_BYTES], [MAX_BYTES, 1], [2 * MAX_BYTES, 1]])
def test_a_picture_for_which_there_is_no_room_waits_until_others_are_stored(gate, sizes):
    pool = StoringPool()
    first = pool.submit(sizes[0], lambda: gate.wait(LONG))

    let_in, thread = submit_beside(pool, sizes[1], lambda: None)

    assert not let_in.wait(0.05)
    gate.set()
    assert let_in.wait(LONG)
    assert first.result(LONG)
    thread.join()


def test_a_picture_that_is_larger_than_all_room_goes_alone():
    assert StoringPool().submit(10 * MAX_BYTES, lambda: "stored").result(LONG) == "stored"


def test_a_store_that_failed_makes_room_again():
    pool = StoringPool()

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            pool.submit(MAX_BYTES, lambda: 1 / 0).result(LONG)


def test_a_reader_waits_for_slow_stores_only_so_long_as_a_provider_may_be_left_waiting(gate, monkeypatch):
    monkeypatch.setattr(storing, "PATIENCE_SECONDS", 0.01)
    pool = StoringPool()
    pool.submit(MAX_BYTES, lambda: gate.wait(LONG))

    let_in, thread = submit_beside(pool, MAX_BYTES, lambda: None)

    assert let_in.wait(LONG)
    thread.join()
