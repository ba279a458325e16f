"""What the documents tell people to type, and where they tell them to look: all of it must be there."""

import re
import shutil
import subprocess

import pytest
from botocore import xform_name
from botocore.session import Session

from tests.conftest import ROOT
from tests.documents import DOCUMENTS, shell

BASH = shutil.which("bash")
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOW = (ROOT / "infra" / "deploy" / "github-actions.yml").read_text()
TOP = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
# AWS CLI reference, read 2026-11-26: what every command has, and what is no operation of a service.
OF_ANY_COMMAND = {"query", "output", "no-paginate"}
SERVICES = {"s3api": "s3"}  # as the CLI and as botocore call them
OF_THE_CLI_ITSELF = {
    ("s3", "cp"): {"recursive", "metadata"},
    ("s3", "rb"): set(),
    ("s3", "sync"): set(),
    ("cloudformation", "deploy"): {"template-file", "stack-name", "capabilities", "parameter-overrides"},
    ("cloudformation", "wait"): {"stack-name"},
}
OF_SAM = {  # those of its options (`sam COMMAND --help` of SAM CLI 1.170) that we name
    "build": set(),
    "deploy": {"guided", "config-env", "no-confirm-changeset", "no-resolve-s3", "s3-bucket", "role-arn"},
    "delete": {"stack-name", "no-prompts"},
}


def typed(path):
    """What a document has people type: blocks for the shell without their comments, and code in its prose."""
    text = path.read_text()
    prose = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    blocks = [re.sub(r"(^|\s)#\s.*", "", block.replace("\\\n", " "), flags=re.MULTILINE) for _, block in shell(path)]
    return [line for code in (*prose, *blocks) for line in code.splitlines()]


TYPED = {path.name: typed(path) for path in DOCUMENTS}
LINES = [line for lines in TYPED.values() for line in lines]
AWS_COMMAND = re.compile(r"\baws ([a-z0-9]+) ([a-z0-9-]+)((?: (?!\S*\baws )[^|;&` ]*)*)")  # to the next one within it
COMMANDS = sorted({found for line in LINES for found in AWS_COMMAND.findall(line)})
SAM = sorted({found for line in LINES for found in re.findall(r"\bsam ([a-z]+)\b([^|;&]*)", line.strip())})
MAKE = sorted({line.strip() for line in LINES if re.match(r"([A-Z_]+=\S+ )*make [a-z]", line)})
BLOCKS = [pytest.param(text, id=f"{path.name}: {heading}") for path in DOCUMENTS for heading, text in shell(path)]


@pytest.fixture(scope="module")
def botocore_session():
    return Session()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_for_the_shell_is_one_that_bash_can_read(block):
    read = subprocess.run([BASH, "-n"], input=block, text=True, capture_output=True, check=False)

    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.parametrize(("service", "operation", "rest"), COMMANDS)
def test_a_command_of_a_document_is_one_that_the_aws_cli_knows(botocore_session, service, operation, rest):
    options = set(re.findall(r" --([a-z0-9-]+)", rest)) - OF_ANY_COMMAND
    if (service, operation) in OF_THE_CLI_ITSELF:
        assert options <= OF_THE_CLI_ITSELF[service, operation]
        return
    model = botocore_session.get_service_model(SERVICES.get(service, service))
    known = {xform_name(name, "-"): name for name in model.operation_names}

    assert operation in known
    members = model.operation_model(known[operation]).input_shape.members
    flags = {f"no-{xform_name(name, '-')}" for name, shape in members.items() if shape.type_name == "boolean"}
    assert options <= flags | {xform_name(name, "-") for name in members}


@pytest.mark.parametrize(("command", "rest"), [*SAM, *re.findall(r"bin/sam (\w+) ((?:.*\\\n)*.*)", WORKFLOW)])
def test_a_command_of_a_document_is_one_that_sam_knows(command, rest):
    assert set(re.findall(r" --([a-z0-9-]+)", f" {rest}")) <= OF_SAM[command]


@pytest.mark.parametrize("line", MAKE)
def test_a_target_of_a_document_is_in_the_makefile_and_so_is_what_it_is_given(line):
    target, given = re.search(r"make ([a-z]+)(.*)", line).groups()

    assert re.search(rf"^{target}:.*##", MAKEFILE, re.MULTILINE)
    for name in re.findall(r" ([A-Z]+)=", given):
        assert f"$({name})" in MAKEFILE


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_file_that_a_document_names_is_there(path):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    code = re.findall(rf"(?<![\w./-])(?:{TOP})/[\w./-]*\w", "\n".join(TYPED[path.name]))

    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [name for name in code if not (ROOT / name).exists()] == []


def test_there_are_commands_to_look_at():
    assert min(len(COMMANDS), len(MAKE), len(SAM), len(BLOCKS)) > 5
