"""`make studio`: where the page is, what opens it, and whether a browser is opened."""

import json
import subprocess
import sys

import pytest

from infra.local import studio

STACK = {"studio_url": "http://127.0.0.1:4566/v1/studio", "api_key": "test"}


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """Run the command beside a stack that is up; returns the commands it ran."""
    ran = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    monkeypatch.setattr(sys, "argv", ["studio", "--folder", str(tmp_path)])
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    return ran


def test_it_says_where_the_page_is_and_what_key_opens_it(opened, capsys):
    studio.main()

    printed = capsys.readouterr().out
    assert STACK["studio_url"] in printed
    assert STACK["api_key"] in printed


def test_a_browser_is_opened_where_somebody_would_see_it(opened, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")

    studio.main()

    assert opened == [[sys.executable, "-m", "webbrowser", STACK["studio_url"]]]


@pytest.mark.parametrize(
    ("environ", "platform", "seen"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
    ],
)
def test_a_display_is_told_by_the_environment_on_linux_and_is_there_on_a_mac(environ, platform, seen):
    assert studio.has_display(environ, platform) is seen


def test_without_a_stack_it_says_what_to_do(opened, tmp_path):
    (tmp_path / "stack.json").unlink()

    with pytest.raises(SystemExit, match="make up"):
        studio.main()
