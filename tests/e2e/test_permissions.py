"""Each function may do what it needs, and nothing else: the emulator asks IAM about every call, as AWS does.

NEEDS is what we say; from it comes the table in docs/security.md. That nothing is missing shows in every other test;
that nothing is too much shows here: each permission is taken away, and something ends; and whatever else might be
asked for is refused.
"""

import copy
import json
from contextlib import contextmanager
from fnmatch import fnmatchcase

import pytest

from tests.documents import show
from tests.e2e.journeys import JOURNEYS, OTHER, WATCHED, Broken, Traveller

READ = [
    ("s3:GetObject", "uploads/*", "vary a picture"),
    ("s3:GetObjectVersion", "uploads/*", "vary a version of a picture"),
    ("s3:ListBucket", "uploads", "say that a picture is missing"),
    ("s3:GetObject", "watched/*", "vary a picture of the watched bucket"),
    ("s3:GetObjectVersion", "watched/*", "vary a version of a picture of the watched bucket"),
    ("s3:ListBucket", "watched", "say that a picture is missing in the watched bucket"),
    ("s3:GetObject", "other/*", "vary a picture of another bucket"),
    ("s3:GetObjectVersion", "other/*", "vary a version of a picture of another bucket"),
    ("s3:ListBucket", "other", "say that a picture is missing in another bucket"),
]
MAKE = [
    *READ,
    ("s3:PutObject", "results/*", "vary a picture"),
    ("s3:ListBucket", "results", "go on after a call that was lost"),
    ("dynamodb:UpdateItem", "jobs table", "vary a picture"),
    ("dynamodb:GetItem", "jobs table", "spare a provider that is down"),
    ("dynamodb:PutItem", "jobs table", "spare a provider that is down"),
    ("secretsmanager:GetSecretValue", "provider's key", "vary a picture, freshly started"),
    ("events:PutEvents", "event bus", "vary a picture"),
]
NEEDS = {
    "ProcessJobsFunction": [
        *MAKE,
        ("s3:GetObject", "results/*", "vary a picture that came over HTTP"),
        ("sqs:SendMessage", "dead-letter queue", "set a message aside"),
        ("sqs:SendMessage", "jobs queue", "deal out a message of several pictures"),
        ("sqs:ChangeMessageVisibility", "jobs queue", "vary a picture"),
    ],
    "GenerateVariationsFunction": [*MAKE, ("s3:GetObject", "results/*", "vary a picture")],
    "AuthorizeFunction": [("secretsmanager:GetSecretValue", "client keys", "let a caller in, freshly started")],
    "ListModelsFunction": [("secretsmanager:GetSecretValue", "provider's key", "list models, freshly started")],
    "CreateVariationsFunction": [
        ("s3:PutObject", "results/jobs/*/source", "answer variations"),
        ("s3:GetObject", "results/jobs/*", "answer variations"),
        ("dynamodb:GetItem", "jobs table", "answer variations"),
        ("dynamodb:PutItem", "jobs table", "answer variations"),
        ("dynamodb:UpdateItem", "jobs table", "answer variations"),
        ("sqs:SendMessage", "jobs queue", "answer variations"),
        ("s3:PutObject", "uploads/uploads/api/*", "hand out a form"),
        ("s3:GetObject", "uploads/*", "answer variations of a picture in S3"),
        ("s3:ListBucket", "uploads", "answer that there is no such picture"),
        ("s3:GetObject", "other/*", "answer variations of a picture in another bucket"),
        ("s3:ListBucket", "other", "answer that there is no such picture in another bucket"),
    ],
    "GetJobFunction": [
        ("s3:GetObject", "results/jobs/*", "show a job"),
        ("dynamodb:GetItem", "jobs table", "show a job"),
        ("dynamodb:UpdateItem", "jobs table", "show a job"),
        ("dynamodb:Query", "jobs table/index/by-caller", "list jobs"),
    ],
    "ServeStudioFunction": [],
}
LAMBDAS_OWN = "Lambda itself, which the emulator does not ask"
NEEDS["ProcessJobsFunction"] += [
    (f"sqs:{action}", "jobs queue", LAMBDAS_OWN) for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
]
for function, rows in NEEDS.items():
    group = f"{function.removesuffix('Function')}LogGroup"
    rows += [(f"logs:{action}", group, LAMBDAS_OWN) for action in ("CreateLogStream", "PutLogEvents")]

# What is asked for beside: deeds that nobody needs ...
NOBODYS_DEEDS = [
    *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl", "s3:PutBucketPolicy", "s3:ListAllMyBuckets"),
    *("dynamodb:Scan", "dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:DeleteTable", "sqs:PurgeQueue"),
    *("secretsmanager:PutSecretValue", "lambda:InvokeFunction", "states:StartExecution", "sns:Publish"),
    *(
        "iam:PassRole",
        "sts:AssumeRole",
        "kms:Decrypt",
        "logs:CreateLogGroup",
        "xray:PutTraceSegments",
        "events:PutRule",
    ),
]
# ... and places, written as in NEEDS.
PLACES = [
    *("uploads", "uploads/a.png", "uploads/uploads/api/1/a.png", "watched", "watched/a.png", "other", "other/a.png"),
    *("results", "results/a.png/1/variation-01.png", "results/jobs/1/variation-01.png", "results/jobs/1/source"),
    *("elsewhere", "elsewhere/a.png", "jobs table", "jobs queue", "dead-letter queue", "undelivered events"),
    "jobs table/index/by-caller",
    *("provider's key", "client keys", "event bus", "another bus", "a function", "backfill", "a role"),
    *(f"{function.removesuffix('Function')}LogGroup" for function in NEEDS),
]


@pytest.fixture(scope="module")
def wide_stack(running_stack):
    """The stack with every permission that a parameter can add."""
    s3 = running_stack.client("s3")
    for bucket in (WATCHED, OTHER):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    running_stack.reset()
    running_stack.reload(WatchedBucket=WATCHED, AllowedSourceBuckets=OTHER)
    try:
        yield running_stack
    finally:
        running_stack.reload()


@pytest.fixture(scope="module")
def arns(wide_stack):
    """The ARN of each place of PLACES."""
    stack = wide_stack
    mine = "us-east-1:000000000000"
    queue = f"arn:aws:sqs:{mine}:"
    named = {
        "jobs table": f"arn:aws:dynamodb:{mine}:table/{stack['jobs_table']}",
        "jobs table/index/by-caller": f"arn:aws:dynamodb:{mine}:table/{stack['jobs_table']}/index/by-caller",
        "jobs queue": queue + stack["jobs_queue_url"].rpartition("/")[2],
        "dead-letter queue": queue + stack["dead_letter_queue_url"].rpartition("/")[2],
        "undelivered events": queue + stack.physical("UndeliveredEventsQueue").rpartition("/")[2],
        "provider's key": stack["provider_secret"],
        "client keys": stack["client_keys_secret"],
        "event bus": f"arn:aws:events:{mine}:event-bus/{stack['event_bus']}",
        "another bus": f"arn:aws:events:{mine}:event-bus/default",
        "a function": f"arn:aws:lambda:{mine}:function:{stack['functions']['GenerateVariationsFunction']}",
        "backfill": stack["backfill_state_machine"],
        "a role": f"arn:aws:iam::000000000000:role/{stack.physical('AuthorizeRole')}",
    }
    buckets = {
        "uploads": stack["uploads_bucket"],
        "results": stack["results_bucket"],
        "watched": WATCHED,
        "other": OTHER,
    }
    for place in PLACES:
        bucket, slash, key = place.partition("/")
        if place.endswith("LogGroup"):
            named[place] = f"arn:aws:logs:{mine}:log-group:{stack.physical(place)}:*"
        elif place not in named:
            named[place] = f"arn:aws:s3:::{buckets.get(bucket, bucket)}{slash}{key}"
    return named


class Role:
    """The role of a function, whose permissions can be taken away for a while."""

    def __init__(self, stack, arns, function):
        self.iam, self.arns = stack.client("iam"), arns
        name = stack["functions"][function]
        self.arn = stack.client("lambda").get_function_configuration(FunctionName=name)["Role"]
        self.name = self.arn.rpartition("/")[2]
        self.policies = {
            policy: self.iam.get_role_policy(RoleName=self.name, PolicyName=policy)["PolicyDocument"]
            for policy in self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        }

    def allowed(self, actions, place):
        """Return which of some actions the role may do at a place."""
        answer = self.iam.simulate_principal_policy(
            PolicySourceArn=self.arn, ActionNames=sorted(actions), ResourceArns=[self.arns[place]]
        )
        return {one["EvalActionName"] for one in answer["EvaluationResults"] if one["EvalDecision"] == "allowed"}

    def grants(self):
        """Yield every action on every resource that the role's policies allow: (action, place as in NEEDS)."""
        for document in self.policies.values():
            for statement in document["Statement"]:
                for action in listed(statement["Action"]):
                    for resource in listed(statement["Resource"]):
                        yield action, self.place(resource)

    def place(self, resource):
        """Return how NEEDS writes a resource."""
        for name, arn in self.arns.items():
            if resource == arn:
                return name
            if "/" not in name and resource.startswith(f"{arn}/"):
                return name + resource.removeprefix(arn)
        return resource

    @contextmanager
    def without(self, action, place):
        """Take one permission away."""
        try:
            for name, document in self.policies.items():
                rest = copy.deepcopy(document)
                rest["Statement"] = [
                    {**statement, "Action": one, "Resource": resource}
                    for statement in document["Statement"]
                    for one in listed(statement["Action"])
                    for resource in listed(statement["Resource"])
                    if (one, self.place(resource)) != (action, place)
                ]
                self.iam.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(rest))
            yield
        finally:
            for name, document in self.policies.items():
                self.iam.put_role_policy(RoleName=self.name, PolicyName=name, PolicyDocument=json.dumps(document))


def listed(value):
    return value if isinstance(value, list) else [value]


def breaks(journey, traveller):
    try:
        JOURNEYS[journey](traveller)
    except Broken:
        return True
    return False


@pytest.mark.parametrize("function", NEEDS)
def test_a_function_may_do_what_it_needs_and_nothing_else(wide_stack, arns, function):
    role = Role(wide_stack, arns, function)
    deeds = {action for rows in NEEDS.values() for action, _, _ in rows} | set(NOBODYS_DEEDS)

    allowed = {(action, place) for place in PLACES for action in role.allowed(deeds, place)}

    needed = {
        (action, place) for place in PLACES for action, pattern, _ in NEEDS[function] if fnmatchcase(place, pattern)
    }
    assert allowed == needed
    assert sorted(role.grants()) == sorted({(action, place) for action, place, _ in NEEDS[function]})
    assert not role.iam.list_attached_role_policies(RoleName=role.name)["AttachedPolicies"]


@pytest.mark.parametrize("function", NEEDS)
def test_without_any_one_of_its_permissions_a_function_fails_at_something(wide_stack, arns, function):
    role, traveller = Role(wide_stack, arns, function), Traveller(wide_stack, function)
    with traveller.on_its_way():
        for journey in sorted({journey for _, _, journey in NEEDS[function]} - {LAMBDAS_OWN}):
            JOURNEYS[journey](traveller)
        for action, place, journey in NEEDS[function]:
            if journey == LAMBDAS_OWN:
                continue
            with role.without(action, place):
                assert breaks(journey, traveller), f"{function} can {journey} without {action} on {place}"


def test_the_document_lists_what_each_function_may_do():
    rows = [
        [function, f"`{action}`", place, journey] for function in NEEDS for action, place, journey in NEEDS[function]
    ]
    show("security.md", "permissions", ["function", "may", "on", "or it could not"], rows)
