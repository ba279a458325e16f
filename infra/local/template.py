"""Read template.yaml as CloudFormation does, and make the few changes that `sam package` would make."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

RUNTIME = "provided.al2023"  # runs our bootstrap, and so this machine's Python, instead of the emulator's own


class CloudFormationLoader(yaml.SafeLoader):
    """A YAML loader that knows the short forms: `!Ref x` is `{"Ref": "x"}`, `!Sub x` is `{"Fn::Sub": "x"}`."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        value = loader.construct_object(_untagged(node), deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in {"Ref", "Condition"} else f"Fn::{tag}": value}


def _untagged(node: yaml.Node) -> yaml.Node:
    """Return a list or mapping without its `!Tag`, to be read as what it is."""
    kind = "seq" if isinstance(node, yaml.SequenceNode) else "map"
    node.tag = f"tag:yaml.org,2002:{kind}"
    return node


CloudFormationLoader.add_multi_constructor("!", _short_form)


def read_template(path: Path) -> dict[str, Any]:
    """Read a template with every short form written out."""
    template: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), CloudFormationLoader)  # noqa: S506 - a SafeLoader
    return template


def packaged(template: dict[str, Any], code_uri: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Point every function at the uploaded code, which brings its own runtime and finds the layer by itself.

    Args:
        template: from `read_template`; it is changed.
        code_uri: `s3://bucket/key` of the zip.
        parameters: the values it will be deployed with.
    """
    everywhere = template["Globals"]["Function"]
    everywhere.update(CodeUri=code_uri, Runtime=RUNTIME)
    del everywhere["Layers"], template["Resources"]["DependenciesLayer"]
    concurrency = parameters.get("MaxConcurrency", template["Parameters"]["MaxConcurrency"]["Default"])
    # The emulator hands the value of a Number parameter on as text, and its poller stumbles over that.
    jobs = template["Resources"]["ProcessJobsFunction"]["Properties"]["Events"]["Jobs"]["Properties"]
    jobs["ScalingConfig"]["MaximumConcurrency"] = int(concurrency)
    return template
