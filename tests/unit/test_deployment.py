"""How the stack gets into an account: what samconfig.toml says, who may do it, and what undoes it."""

import json
import re
import tomllib
from fnmatch import fnmatchcase

import boto3
import pytest
import yaml
from botocore.stub import Stubber

from infra.deploy import guard
from infra.local.template import read_template
from tests.conftest import ROOT

TEMPLATE = read_template(ROOT / "template.yaml")
RESOURCES = TEMPLATE["Resources"]
ROLE = read_template(ROOT / "infra/deploy/role.yaml")
SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
WORKFLOW = (ROOT / "infra/deploy/github-actions.yml").read_text()
ENVIRONMENTS = ("dev", "prod")
STACK = "image-variations-prod"
STACK_ID = f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"


def complaint(parameter, value):
    """Return why CloudFormation would refuse a value, or None."""
    if value not in [str(allowed) for allowed in parameter.get("AllowedValues", [value])]:
        return "not among AllowedValues"
    if not re.search(parameter.get("AllowedPattern", ""), value):
        return "not of AllowedPattern"
    if parameter["Type"] == "Number":
        low, high = parameter.get("MinValue", float("-inf")), parameter.get("MaxValue", float("inf"))
        return None if low <= float(value) <= high else f"not between {low} and {high}"
    return None


# ---------------------------------------------------------------- samconfig.toml


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_environment_sets_parameters_that_the_template_has_to_values_that_it_takes(environment):
    overrides = SAMCONFIG[environment]["deploy"]["parameters"]["parameter_overrides"]

    assert isinstance(overrides, list)
    for override in overrides:
        name, _, value = override.partition("=")
        assert complaint(TEMPLATE["Parameters"][name], value) is None, override


@pytest.mark.parametrize(
    ("name", "value"),
    [("LogRetentionDays", "2"), ("MaxConcurrency", "1"), ("MaxConcurrency", "1001"), ("UploadPrefix", "/uploads/")],
)
def test_a_value_that_the_template_does_not_take_would_be_noticed(name, value):
    assert complaint(TEMPLATE["Parameters"][name], value)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_an_environment_costs_can_be_told_from_its_tags(environment):
    tags = SAMCONFIG[environment]["deploy"]["parameters"]["tags"]

    assert tags == ["application=image-variations", f"environment={environment}"]


def test_no_stack_bears_a_name_that_the_other_environments_role_may_touch():
    names = [SAMCONFIG[environment]["deploy"]["parameters"]["stack_name"] for environment in ENVIRONMENTS]

    assert [name for name in names if any(other.startswith(name) for other in names if other != name)] == []
    assert [complaint(ROLE["Parameters"]["StackName"], name) for name in names] == [None, None]


def test_nothing_is_deployed_to_production_unseen():
    assert SAMCONFIG["prod"]["deploy"]["parameters"]["confirm_changeset"] is True


# ---------------------------------------------------------------- the roles

# What SAM makes of its own types, and what CloudFormation calls to make each.
GENERATED = {
    "AWS::Serverless::Function": ["AWS::Lambda::Function", "AWS::IAM::Role", "AWS::Lambda::EventSourceMapping"],
    "AWS::Serverless::LayerVersion": ["AWS::Lambda::LayerVersion"],
    "AWS::Serverless::StateMachine": ["AWS::StepFunctions::StateMachine", "AWS::IAM::Role", "AWS::Events::Rule"],
    "AWS::Serverless::Api": ["AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"],
}
MADE_BY = {
    "AWS::ApiGateway::Deployment": "apigateway:POST",
    "AWS::ApiGateway::RestApi": "apigateway:POST",
    "AWS::ApiGateway::Stage": "apigateway:POST",
    "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
    "AWS::CloudWatch::Dashboard": "cloudwatch:PutDashboard",
    "AWS::DynamoDB::Table": "dynamodb:CreateTable",
    "AWS::Events::EventBus": "events:CreateEventBus",
    "AWS::Events::Rule": "events:PutRule",
    "AWS::IAM::Role": "iam:CreateRole",
    "AWS::Lambda::EventSourceMapping": "lambda:CreateEventSourceMapping",
    "AWS::Lambda::Function": "lambda:CreateFunction",
    "AWS::Lambda::LayerVersion": "lambda:PublishLayerVersion",
    "AWS::Lambda::Permission": "lambda:AddPermission",
    "AWS::Logs::LogGroup": "logs:CreateLogGroup",
    "AWS::S3::Bucket": "s3:CreateBucket",
    "AWS::S3::BucketPolicy": "s3:PutBucketPolicy",
    "AWS::SNS::Topic": "sns:CreateTopic",
    "AWS::SNS::TopicPolicy": "sns:SetTopicAttributes",
    "AWS::SQS::Queue": "sqs:CreateQueue",
    "AWS::SQS::QueuePolicy": "sqs:SetQueueAttributes",
    "AWS::SecretsManager::ResourcePolicy": "secretsmanager:PutResourcePolicy",
    "AWS::SecretsManager::Secret": "secretsmanager:CreateSecret",
    "AWS::StepFunctions::StateMachine": "states:CreateStateMachine",
    "AWS::WAFv2::WebACLAssociation": "wafv2:AssociateWebACL",
}
TYPES = sorted({kind for each in RESOURCES.values() for kind in GENERATED.get(each["Type"], [each["Type"]])})


def statements(role):
    """Return what a role may do, with what it may do only under a condition of the template."""
    policies = ROLE["Resources"][role]["Properties"]["Policies"]
    found = [each for policy in policies for each in policy["PolicyDocument"]["Statement"]]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in found]


def listed(value):
    return value if isinstance(value, list) else [value]


EVERY_STATEMENT = [
    pytest.param(each, id=f"{role} {each['Sid']}")
    for role in ("DeployRole", "ExecutionRole")
    for each in statements(role)
]


@pytest.mark.parametrize("kind", TYPES)
def test_cloudformation_may_make_every_kind_of_resource_that_the_template_has(kind):
    assert kind in MADE_BY, f"say what makes {kind}, and let ExecutionRole in infra/deploy/role.yaml do it"
    allowed = [action for each in statements("ExecutionRole") for action in listed(each["Action"])]

    assert any(fnmatchcase(MADE_BY[kind], action) for action in allowed), MADE_BY[kind]


@pytest.mark.parametrize("statement", EVERY_STATEMENT)
def test_no_statement_is_for_all_actions_and_one_for_all_resources_says_why(statement):
    text = (ROOT / "infra/deploy/role.yaml").read_text()
    block = text[text.index(f"Sid: {statement['Sid']}\n") :].split("- Sid:")[0]

    assert statement["Effect"] == "Allow"
    assert not [action for action in listed(statement["Action"]) if action.endswith(":*") or action == "*"]
    if "*" in listed(statement["Resource"]):
        assert re.search(r'Resource: "\*"  # \S+( \S+){3,}', block)


@pytest.mark.parametrize("statement", [each for each in EVERY_STATEMENT if "iam:" in json.dumps(each.values)])
def test_a_role_is_handed_to_named_services_alone_and_only_our_roles_are_changed(statement):
    for action in listed(statement["Action"]):
        assert action.startswith("iam:")
        if action == "iam:PassRole":
            assert set(statement["Condition"]["StringEquals"]) == {"iam:PassedToService"}
        if action == "iam:AttachRolePolicy":
            assert "policy/service-role/AWSLambda" in json.dumps(statement["Condition"])
    assert "role/${StackName}-*" in json.dumps(statement["Resource"]) or statement["Resource"] == {
        "Fn::GetAtt": ["ExecutionRole", "Arn"]
    }


def test_only_a_job_in_the_named_environment_of_the_named_repository_gets_the_role():
    (statement,) = ROLE["Resources"]["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    host = "token.actions.githubusercontent.com"

    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            f"{host}:aud": "sts.amazonaws.com",
            f"{host}:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
        }
    }


@pytest.mark.parametrize("repository", ["*/*", "owner/*", "owner", "owner/name:ref", "owner/name/more"])
def test_a_repository_is_named_exactly(repository):
    assert complaint(ROLE["Parameters"]["Repository"], repository)


# ---------------------------------------------------------------- the workflow


def test_every_action_is_pinned_to_a_commit_and_says_which_release_that_is():
    uses = re.findall(r"uses: (.*)", WORKFLOW)

    assert uses
    assert [each for each in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each)] == []


def test_a_pull_request_runs_without_any_permission_but_to_read():
    workflow = yaml.safe_load(WORKFLOW)
    jobs = workflow["jobs"]

    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in jobs["test"]
    assert "environment" not in jobs["test"]
    assert "pull_request_target" not in WORKFLOW
    for name in ENVIRONMENTS:
        assert jobs[name]["permissions"] == {"id-token": "write", "contents": "read"}
        assert jobs[name]["environment"] == jobs[name]["env"]["CONFIG"] == name
        assert "github.event_name == 'push'" in jobs[name]["if"]
    assert jobs["dev"]["needs"] == "test"
    assert jobs["prod"]["needs"] == "dev"


def test_nothing_that_others_write_is_put_into_a_command_of_the_workflow():
    steps = [step for job in yaml.safe_load(WORKFLOW)["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]

    assert commands
    assert [command for command in commands if "${{" in command] == []


# ---------------------------------------------------------------- undone by alarms


@pytest.fixture
def cloudformation():
    client = boto3.client("cloudformation", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test")
    with Stubber(client) as stub:
        client.stub = stub
        yield client


def deployed(client, *, alarms=()):
    parameters = [{"ParameterKey": "ProviderApiKey", "ParameterValue": "****"}]
    stack = {"StackName": STACK, "StackId": STACK_ID, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE"}
    client.stub.add_response("describe_stacks", {"Stacks": [stack | {"Parameters": parameters}]}, {"StackName": STACK})
    for alarm in alarms:
        detail = {"LogicalResourceId": alarm, "PhysicalResourceId": f"{STACK}-{alarm}-1"}
        detail |= {"ResourceType": "AWS::CloudWatch::Alarm", "LastUpdatedTimestamp": 0, "ResourceStatus": "X"}
        client.stub.add_response(
            "describe_stack_resource",
            {"StackResourceDetail": detail},
            {"StackName": STACK, "LogicalResourceId": alarm},
        )


def test_a_stack_is_watched_by_its_own_alarms_and_keeps_its_template_and_parameters(cloudformation):
    deployed(cloudformation, alarms=guard.ALARMS)

    update = guard.update_of(cloudformation, STACK, 15)

    arn = f"arn:aws:cloudwatch:eu-central-1:123456789012:alarm:{STACK}-FunctionErrorsAlarm-1"
    assert update["RollbackConfiguration"] == {
        "RollbackTriggers": [{"Arn": arn, "Type": "AWS::CloudWatch::Alarm"}],
        "MonitoringTimeInMinutes": 15,
    }
    assert update["UsePreviousTemplate"] is True
    assert update["Parameters"] == [{"ParameterKey": "ProviderApiKey", "UsePreviousValue": True}]


def test_a_stack_that_is_not_to_be_watched_has_all_its_triggers_taken_off(cloudformation):
    deployed(cloudformation)

    update = guard.update_of(cloudformation, STACK, None)

    assert update["RollbackConfiguration"] == {"RollbackTriggers": [], "MonitoringTimeInMinutes": 0}


@pytest.mark.parametrize(
    ("arguments", "minutes"), [([STACK], 10), ([STACK, "180"], 180), ([STACK, "0"], 0), ([STACK, "off"], None)]
)
def test_the_command_updates_the_stack_as_it_was_told(cloudformation, monkeypatch, capsys, arguments, minutes):
    monkeypatch.setattr(boto3, "client", lambda service: cloudformation)
    alarms = () if minutes is None else guard.ALARMS
    for _ in range(2):
        deployed(cloudformation, alarms=alarms)
    expected = guard.update_of(cloudformation, STACK, minutes)
    cloudformation.stub.add_response("update_stack", {"StackId": STACK_ID}, expected)

    guard.main(arguments)

    cloudformation.stub.assert_no_pending_responses()
    assert ("nothing is watched" in capsys.readouterr().out) is (minutes is None)


@pytest.mark.parametrize("arguments", [[], [STACK, "181"], [STACK, "-1"], [STACK, "soon"], [STACK, "10", "more"]])
def test_a_command_that_says_nothing_is_told_how(arguments):
    with pytest.raises(SystemExit, match="STACK off"):
        guard.main(arguments)


@pytest.mark.parametrize("alarm", guard.ALARMS)
def test_what_a_stack_is_watched_by_is_an_alarm_of_the_template_that_always_exists(alarm):
    assert RESOURCES[alarm]["Type"] == "AWS::CloudWatch::Alarm"
    assert "Condition" not in RESOURCES[alarm]


def test_what_is_called_is_the_function_itself_as_an_alias_would_keep_old_parameters():
    """docs/decisions.md, "Deployments are undone, not shifted"."""
    functions = [TEMPLATE["Globals"]["Function"]]
    functions += [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::Serverless::Function"]

    assert not [each for each in functions if each.keys() & {"AutoPublishAlias", "DeploymentPreference"}]
    assert not [each for each in RESOURCES.values() if each["Type"] in {"AWS::Lambda::Alias", "AWS::Lambda::Version"}]
