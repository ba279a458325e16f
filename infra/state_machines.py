"""Write the state machines as plain CloudFormation, for cfn-lint, which does not look into the files SAM names.

python -m infra.state_machines > .local/state-machines.json
"""

import json
from pathlib import Path
from typing import Any

import yaml

from infra.local.template import read_template

ROOT = Path(__file__).resolve().parents[1]


def state_machines() -> dict[str, dict[str, Any]]:
    """Return the properties of every state machine of the template, with its definition in place of its file."""
    found = {}
    for name, resource in read_template(ROOT / "template.yaml")["Resources"].items():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            definition = (ROOT / resource["Properties"]["DefinitionUri"]).read_text(encoding="utf-8")
            found[name] = {**resource["Properties"], "Definition": yaml.safe_load(definition)}
    return found


def as_cloudformation() -> dict[str, Any]:
    """Return a template of the state machines alone; what they are given of the stack is made up."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            name: {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/any",
                    "Definition": properties["Definition"],
                    "DefinitionSubstitutions": dict.fromkeys(properties["DefinitionSubstitutions"], "any"),
                },
            }
            for name, properties in state_machines().items()
        },
    }


if __name__ == "__main__":
    print(json.dumps(as_cloudformation(), indent=2))
