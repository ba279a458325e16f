"""What holds for every unit test: no network, and properties that are checked with the same examples each time."""

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

settings.register_profile("unit", derandomize=True, max_examples=80, deadline=None)
settings.load_profile("unit")


@pytest.fixture(autouse=True, scope="module")
def _no_sockets():
    disable_socket()
    yield
    enable_socket()
