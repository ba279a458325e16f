"""What the linters are told to leave alone, and why."""

import re

import pytest

from infra.local.template import read_template
from tests.conftest import ROOT

TEMPLATES = ("template.yaml", "infra/deploy/role.yaml")


def metadata(template):
    """Yield the name and the metadata of the template itself and of each of its resources."""
    yield "the template", template.get("Metadata", {})
    yield from ((name, resource.get("Metadata", {})) for name, resource in template["Resources"].items())


SKIPPED = [
    pytest.param(skip, id=f"{name} {skip.get('id')}")
    for path in TEMPLATES
    for name, found in metadata(read_template(ROOT / path))
    for skip in found.get("checkov", {}).get("skip", [])
]


@pytest.mark.parametrize("skip", SKIPPED)
def test_what_checkov_leaves_alone_has_a_reason(skip):
    assert re.fullmatch(r"CKV2?_AWS_\d+", skip["id"])
    assert len(skip["comment"].split()) > 4, "say why, in a sentence"


@pytest.mark.parametrize("path", TEMPLATES)
def test_what_cfn_lint_leaves_alone_has_a_reason_on_its_line(path):
    text = (ROOT / path).read_text()
    ignored = [
        check
        for _, found in metadata(read_template(ROOT / path))
        for check in found.get("cfn-lint", {}).get("config", {}).get("ignore_checks", [])
    ]

    for check in ignored:
        (line,) = re.findall(rf"^.*\b{check}\b.*$", text, re.MULTILINE)
        assert re.search(r"  # \S+( \S+){3,}", line), f"{check} has no reason beside it"


def test_nothing_is_left_alone_out_of_the_templates_sight():
    (run,) = re.findall(r"bin/checkov (.*)", (ROOT / "Makefile").read_text())

    assert "skip-check" not in run
    assert "soft-fail" not in run
    assert not [*ROOT.glob(".checkov.y*ml"), *ROOT.glob(".cfnlintrc*")]
