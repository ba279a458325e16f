"""A browser is found under any of its names, installed where that is one command, and missed aloud in CI."""

import pytest

from infra import browser


@pytest.fixture
def environ(tmp_path):
    """The environment of a machine on whose PATH there is nothing."""
    return {"PATH": str(tmp_path)}


@pytest.fixture
def put(tmp_path):
    """Put a program on the PATH."""

    def put(name, script="exit 0"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return str(program)

    return put


@pytest.fixture
def apt(put, tmp_path):
    """Put apt-get on the PATH, which notes what it is told, and what it installs; returns the notes."""
    put("made", "exit 0")
    notes = tmp_path / "notes"
    put("apt-get", f'echo "$*" >> {notes}\ncase "$*" in *chromium) /bin/cp {tmp_path}/made {tmp_path}/chromium;; esac')
    return notes


@pytest.fixture(autouse=True)
def user(monkeypatch):
    """Be root, or the user of that number."""

    def user(number):
        monkeypatch.setattr(browser.os, "geteuid", lambda: number)

    user(0)
    return user


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_a_browser_is_found_under_each_of_its_names(environ, put, name):
    assert browser.find(environ) is None
    path = put(name)

    assert browser.find(environ) == path


def test_the_one_that_the_environment_names_is_all_that_is_tried(environ, put, apt):
    put("google-chrome")
    wanted = put("canary")

    assert browser.find({**environ, "CHROMIUM": wanted}) == wanted
    assert browser.find({**environ, "CHROMIUM": "canary"}) == wanted
    assert browser.find({**environ, "CHROMIUM": "/nowhere/chrome"}) is None
    browser.main({**environ, "CHROMIUM": "/nowhere/chrome"})
    assert not apt.exists()


def test_a_package_that_does_not_start_is_passed_over(environ, put):
    put("chromium-browser", "exit 1")
    chrome = put("google-chrome")

    assert browser.find(environ) == chrome


def test_root_has_it_installed_by_apt_get(environ, apt, tmp_path):
    browser.main({**environ, "CI": "true"})

    assert browser.find(environ) == str(tmp_path / "chromium")
    assert apt.read_text().splitlines() == ["-qq update", "-qq install --yes --no-install-recommends chromium"]


def test_nothing_is_installed_where_there_is_one(environ, put, apt):
    put("google-chrome")

    browser.main(environ)

    assert not apt.exists()


def test_whoever_is_not_root_is_told_what_to_install(environ, apt, user, capsys):
    user(1000)

    browser.main(environ)

    assert not apt.exists()
    assert "apt-get install chromium" in capsys.readouterr().out


@pytest.mark.parametrize("said", ["", "false", "0"])
def test_without_a_browser_its_tests_may_be_skipped(environ, said, capsys):
    browser.main({**environ, "CI": said})

    assert "CHROMIUM=" in capsys.readouterr().out


@pytest.mark.parametrize("said", ["true", "1"])
def test_in_ci_a_browser_that_is_missing_is_a_failure(environ, put, said):
    put("apt-get", "exit 100")

    with pytest.raises(SystemExit, match="No Chromium was found"):
        browser.main({**environ, "CI": said})
