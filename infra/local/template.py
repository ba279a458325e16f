"""Read template.yaml as CloudFormation does, and make the few changes that `sam package` would make."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

NOT_EMULATED = {"AWS::WAFv2::WebACLAssociation"}  # types whose resources are left out
RUNTIME = "provided.al2023"  # runs our bootstrap, and so this machine's Python, instead of the emulator's own

WITHOUT_TLS = {"Bool": {"aws:SecureTransport": "false"}}


class CloudFormationLoader(yaml.SafeLoader):
    """A YAML loader that knows the short forms: `!Ref x` is `{"Ref": "x"}`, `!Sub x` is `{"Fn::Sub": "x"}`."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


CloudFormationLoader.add_multi_constructor("!", _short_form)


def read_template(path: Path) -> dict[str, Any]:
    """Read a template with every short form written out."""
    template: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), CloudFormationLoader)  # noqa: S506 - a SafeLoader
    return template


def packaged(folder: Path, code_uri: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the template of a folder with every function pointed at the uploaded code.

    That code brings its own runtime and finds the layer by itself. The definitions of state machines are put in, and
    what the emulator does not know is left out.

    Args:
        folder: where template.yaml lies.
        code_uri: `s3://bucket/key` of the zip.
        parameters: the values it will be deployed with.
    """
    template = read_template(folder / "template.yaml")
    everywhere = template["Globals"]["Function"]
    everywhere.update(CodeUri=code_uri, Runtime=RUNTIME)
    del everywhere["Layers"], template["Resources"]["DependenciesLayer"]
    resources = template["Resources"]
    template["Resources"] = {name: made for name, made in resources.items() if made["Type"] not in NOT_EMULATED}
    # The emulator hands the value of a Number parameter on as text, and its poller stumbles over that.
    jobs = template["Resources"]["ProcessJobsFunction"]["Properties"]["Events"]["Jobs"]["Properties"]
    defaults = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
    chosen = {**defaults, **parameters}
    jobs["ScalingConfig"]["MaximumConcurrency"] = int(chosen["MaxConcurrency"])
    jobs["BatchSize"] = int(chosen["JobsPerWorker"])
    # CloudFormation wants slashes escaped here; the emulator takes the names as they are.
    api = template["Resources"]["Api"]["Properties"]
    api["BinaryMediaTypes"] = [kind.replace("~1", "/") for kind in api["BinaryMediaTypes"]]
    # What comes without TLS is refused on AWS; on this machine all of it does.
    for resource in template["Resources"].values():
        if statements := resource.get("Properties", {}).get("PolicyDocument", {}).get("Statement"):
            statements[:] = [statement for statement in statements if statement.get("Condition") != WITHOUT_TLS]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            properties = resource["Properties"]
            definition = (folder / properties.pop("DefinitionUri")).read_text(encoding="utf-8")
            properties["Definition"] = yaml.safe_load(definition)
    return template


def resolved(value: Any, template: Mapping[str, Any], parameters: Mapping[str, str]) -> Any:
    """Return what CloudFormation makes of a value that is written with Ref, Sub, If, Equals and Not.

    Args:
        value: a text, or one of these; `AWS::NoValue` becomes None.
        template: with the conditions and the parameters' defaults.
        parameters: the values it is deployed with.
    """
    defaults = {name: str(parameter.get("Default")) for name, parameter in template["Parameters"].items()}
    chosen = {**defaults, **parameters, "AWS::NoValue": None}

    def read(value: Any) -> Any:
        match value:
            case {"Ref": name}:
                return chosen[name]
            case {"Fn::Sub": text}:
                return re.sub(r"\$\{(\w+)\}", lambda found: str(chosen[found[1]]), text)
            case {"Fn::If": [condition, yes, no]}:
                return read(yes if read(template["Conditions"][condition]) else no)
            case {"Fn::Equals": [one, other]}:
                return read(one) == read(other)
            case {"Fn::Not": [condition]}:
                return not read(condition)
        return value

    return read(value)
