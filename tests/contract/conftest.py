"""The scripted servers, for every test that wants one."""

from tests.contract.scripted import _elsewhere, _scripted

__all__ = ["_elsewhere", "_scripted"]
