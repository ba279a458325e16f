"""The diagram of docs/architecture.md shows what template.yaml says."""

import json
import re
from itertools import chain
from pathlib import Path

import pytest

from infra.local.template import read_template

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = read_template(ROOT / "template.yaml")["Resources"]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DIAGRAM = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[1]
ARROWS = re.findall(r"^ *(\w+) (?:-- .+? -->|-\. .+? \.->|-->) (\w+)$", DIAGRAM, re.MULTILINE)
SHOWN = {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret"}
SHOWN |= {"AWS::Serverless::Function", "AWS::Serverless::Api", "AWS::Events::EventBus"}


def named_in(value):
    """Return every resource that a part of the template names."""
    found = re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)|\$\{(\w+)', json.dumps(value))
    return {name for name in chain.from_iterable(found) if name in RESOURCES}


def relations():
    """Return what leads from one resource to another, by the template: pairs of names."""
    for name, resource in RESOURCES.items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::Events::Rule":
                sources = named_in([properties["EventPattern"], properties.get("EventBusName")])
                yield from ((source, name) for source in sources)
                yield from ((name, target) for target in named_in(properties["Targets"]))
            case "AWS::SQS::Queue":
                yield from ((name, other) for other in named_in(properties.get("RedrivePolicy")))
            case "AWS::Serverless::Api":
                yield from ((name, function) for function in named_in(properties["DefinitionBody"]))
            case "AWS::Serverless::Function":
                yield from ((source, name) for source in named_in(properties.get("Events")))
                role = RESOURCES[named_in(properties["Role"]).pop()]
                yield from ((name, other) for other in named_in(role["Properties"]["Policies"]))
            case "AWS::Serverless::StateMachine":
                yield from ((name, other) for other in named_in(properties["Policies"]))


@pytest.mark.parametrize("arrow", ARROWS, ids=" to ".join)
def test_an_arrow_of_the_diagram_is_in_the_template(arrow):
    assert arrow in set(relations())


def test_all_arrows_were_read():
    assert len(ARROWS) == len(re.findall(r"->", DIAGRAM))


def test_the_diagram_shows_everything_that_a_picture_may_meet():
    there = {name for name, one in RESOURCES.items() if one["Type"] in SHOWN and "Condition" not in one}

    assert there <= set(chain.from_iterable(ARROWS))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:dialects/)?(\w+\.py)`", PAGE))))
def test_a_file_that_the_page_names_exists(name):
    assert [*(ROOT / "functions").rglob(name)]
