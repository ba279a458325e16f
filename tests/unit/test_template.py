"""What must hold in template.yaml and the emulator does not enforce."""

import json
import re
from pathlib import Path

import pytest
from variations import history, http_api
from variations.settings import Settings

from infra.local.template import NOT_EMULATED, packaged, read_template, resolved
from tests.conftest import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = read_template(ROOT / "template.yaml")
RESOURCES = TEMPLATE["Resources"]


def where_chosen(path):
    """The methods of a path, whether or not it depends on a condition."""
    return path["Fn::If"][1] if "Fn::If" in path else path


PATHS = {
    path: where_chosen(methods) for path, methods in RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"].items()
}
OPERATIONS = {
    f"{method.upper()} {path}": operation for path, methods in PATHS.items() for method, operation in methods.items()
}
STUDIO = {f"{method} {path}" for method in ("GET", "HEAD") for path in ("/studio", "/studio/{file}")}
every_operation = pytest.mark.parametrize("name", OPERATIONS)


def of_type(kind):
    found = {name: resource for name, resource in RESOURCES.items() if resource["Type"] == kind}
    return pytest.mark.parametrize(
        ("name", "properties"), [(name, found[name].get("Properties", {})) for name in found], ids=list(found)
    )


def both_ways(value):
    """Return what a list of the template may hold, whatever its conditions turn out to be."""
    for item in value:
        branches = item["Fn::If"][1:] if "Fn::If" in item else [item]
        yield from (branch for branch in branches if branch != {"Ref": "AWS::NoValue"})


def texts(value):
    """Return every text in a value of the template."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in inner for text in texts(part)]


def function_behind(operation):
    """Return the name of the function that an operation of the API calls."""
    (name,) = re.findall(
        r"\$\{(\w+)\.Arn\}/invocations$", operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    )
    return name


def snake_case(name):
    return re.sub("(?<!^)([A-Z])", r"_\1", name).lower()


@of_type("AWS::Serverless::Function")
def test_a_function_has_one_name_in_the_template_the_sources_the_events_and_the_tests(name, properties):
    module = snake_case(name.removesuffix("Function"))

    assert properties["Handler"] == f"{module}.handler"
    assert (ROOT / "functions" / f"{module}.py").exists()
    assert list((ROOT / "events").glob(f"{module}*.json"))
    assert (ROOT / "tests" / "integration" / f"test_{module}.py").exists()


@of_type("AWS::Serverless::Function")
def test_a_function_logs_into_a_group_of_its_own_that_forgets(name, properties):
    group = RESOURCES[properties["LoggingConfig"]["LogGroup"]["Ref"]]

    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def statements_of(resource):
    """Return every statement of a role's or state machine's policies."""
    policies = resource["Properties"]["Policies"]
    documents = [policy.get("PolicyDocument", policy) for policy in policies]
    return [statement for document in documents for statement in both_ways(document["Statement"])]


HOLDERS = [name for name, one in RESOURCES.items() if "Policies" in one.get("Properties", {})]
# Which cannot be named more closely: X-Ray knows no resources (service authorization reference, read 2026-11-26).
UNNAMED = {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}


@pytest.mark.parametrize("name", HOLDERS)
def test_nobody_may_act_on_everything(name):
    statements = statements_of(RESOURCES[name])

    assert statements
    for statement in statements:
        actions = texts(statement["Action"])
        assert statement["Effect"] == "Allow"
        assert "*" not in json.dumps(statement["Action"])
        assert statement["Resource"]
        assert "*" not in texts(statement["Resource"]) or set(actions) <= UNNAMED


@of_type("AWS::Serverless::Function")
def test_a_function_has_a_role_of_its_own_that_lambda_alone_may_take(name, properties):
    role = name.removesuffix("Function") + "Role"
    (statement,) = RESOURCES[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]

    assert properties["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    assert "Policies" not in properties
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert "ManagedPolicyArns" not in RESOURCES[role]["Properties"]


def test_a_message_stays_hidden_six_times_as_long_as_the_worker_may_run():
    worker = RESOURCES["ProcessJobsFunction"]["Properties"]["Timeout"]

    assert RESOURCES["JobsQueue"]["Properties"]["VisibilityTimeout"] >= 6 * worker


@of_type("AWS::SQS::Queue")
def test_a_queue_that_a_function_reads_has_a_dead_letter_queue(name, properties):
    dead_letter_queues = {"JobsDeadLetterQueue", "UndeliveredEventsQueue"}

    assert ("RedrivePolicy" in properties) is (name not in dead_letter_queues)
    assert properties["SqsManagedSseEnabled"] is True


def test_the_rule_keeps_what_it_could_not_deliver():
    (target,) = RESOURCES["PictureUploadedRule"]["Properties"]["Targets"]

    assert target["DeadLetterConfig"]


def test_results_go_to_another_bucket_so_that_nothing_can_loop():
    environment = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    pattern = RESOURCES["PictureUploadedRule"]["Properties"]["EventPattern"]

    assert environment["RESULTS_BUCKET"] == {"Ref": "ResultsBucket"}
    assert pattern["detail"]["bucket"]["name"] == [{"Ref": "UploadsBucket"}]


@of_type("AWS::S3::Bucket")
def test_a_bucket_is_private_and_encrypted_and_outlives_the_stack(name, properties):
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    condition, own, usual = encryption["Fn::If"]

    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert condition == "OwnKey"
    assert own["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    assert usual["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert RESOURCES[name]["DeletionPolicy"] == "Retain"


@of_type("AWS::S3::Bucket")
def test_a_bucket_forgets_uploads_that_were_begun_and_given_up(name, properties):
    rules = list(both_ways(properties["LifecycleConfiguration"]["Rules"]))

    assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]


def refuses_without_tls(policy, places):
    """Tell whether a resource policy denies everything at some places to whoever comes without TLS."""
    (denied,) = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
    return (
        denied["Principal"] == "*"
        and denied["Action"].endswith(":*")
        and denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        and all(place in denied["Resource"] for place in places)
    )


@of_type("AWS::S3::Bucket")
def test_a_bucket_is_reached_by_tls_only(name, properties):
    policy = RESOURCES[f"{name}Policy"]["Properties"]

    assert policy["Bucket"] == {"Ref": name}
    assert refuses_without_tls(policy, [{"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}.Arn}}/*"}])


@of_type("AWS::SQS::Queue")
def test_a_queue_is_reached_by_tls_only(name, properties):
    policy = RESOURCES["QueuesPolicy"]["Properties"]

    assert {"Ref": name} in policy["Queues"]
    assert refuses_without_tls(policy, [{"Fn::GetAtt": [name, "Arn"]}])


def may_send(service, queue):
    """Tell whether a service may put messages on a queue, by the policy that the queue has."""
    policy = RESOURCES["QueuesPolicy"]["Properties"]
    return {"Ref": queue} in policy["Queues"] and any(
        one["Effect"] == "Allow"
        and one["Principal"] == {"Service": service}
        and one["Action"] == "sqs:SendMessage"
        and one["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
        for one in policy["PolicyDocument"]["Statement"]
    )


@of_type("AWS::Events::Rule")
def test_a_rule_may_send_to_the_queues_that_it_names(name, properties):
    for target in properties["Targets"]:
        arns = [target["Arn"], target["DeadLetterConfig"]["Arn"]]
        queues = [arn["Fn::GetAtt"][0] for arn in arns if "Fn::GetAtt" in arn]
        assert queues
        assert all(may_send("events.amazonaws.com", queue) for queue in queues)


@pytest.mark.parametrize("service", ["sns.amazonaws.com", "s3.amazonaws.com"])
def test_topics_and_buckets_of_the_account_may_send_to_the_jobs_queue(service):
    assert may_send(service, "JobsQueue")


def test_only_services_that_act_for_this_account_are_let_in_by_a_resource_policy():
    policies = [one["Properties"]["PolicyDocument"] for one in RESOURCES.values() if one["Type"].endswith("Policy")]
    allowed = [one for policy in policies for one in policy["Statement"] if one["Effect"] == "Allow"]

    assert len(allowed) == 5
    for statement in allowed:
        ((_, condition),) = statement["Condition"].items()
        assert statement["Principal"].keys() == {"Service"}
        assert condition.keys() <= {"aws:SourceArn", "aws:SourceAccount"}
        assert "AWS::AccountId" in json.dumps(condition) or "Fn::GetAtt" in json.dumps(condition)


def test_uploads_keep_their_versions_and_those_that_were_replaced_go_after_a_month():
    properties = RESOURCES["UploadsBucket"]["Properties"]
    rules = {rule["Id"]: rule for rule in both_ways(properties["LifecycleConfiguration"]["Rules"])}

    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert rules["replaced"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rules["uploads"]["ExpirationInDays"] == {"Ref": "UploadExpirationDays"}
    assert rules["sent-by-form"]["ExpirationInDays"] == {"Ref": "ResultExpirationDays"}


def test_results_and_records_expire_together():
    rules = {rule["Id"]: rule for rule in RESOURCES["ResultsBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]}
    environment = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    expected = {"Ref": "ResultExpirationDays"}
    assert rules["results"]["ExpirationInDays"] == environment["RESULT_EXPIRATION_DAYS"] == expected
    assert RESOURCES["JobsTable"]["Properties"]["TimeToLiveSpecification"]["AttributeName"] == "expires_at"


def test_the_list_of_jobs_is_read_by_the_index_of_the_table_and_by_nothing_else():
    (index,) = RESOURCES["JobsTable"]["Properties"]["GlobalSecondaryIndexes"]
    queries = [
        (name, statement["Resource"])
        for name in HOLDERS
        for statement in statements_of(RESOURCES[name])
        if "dynamodb:Query" in texts(statement["Action"])
    ]

    assert index["IndexName"] == history.INDEX
    assert tuple(key["AttributeName"] for key in index["KeySchema"]) == history.INDEX_KEYS
    assert queries == [("GetJobRole", {"Fn::Sub": f"${{JobsTable.Arn}}/index/{history.INDEX}"})]


def test_what_a_paid_call_writes_is_not_on_the_index_so_that_it_costs_nothing_there():
    (index,) = RESOURCES["JobsTable"]["Properties"]["GlobalSecondaryIndexes"]

    assert index["Projection"]["ProjectionType"] == "INCLUDE"
    assert not {"attempts", "run", "running_until", "dispatched", "announced", "delivered_at", "finished_at"} & set(
        index["Projection"]["NonKeyAttributes"]
    )


def test_the_environment_has_all_settings_and_nothing_else():
    given = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])

    assert given == {"POWERTOOLS_SERVICE_NAME", *(name.upper() for name in Settings.__dataclass_fields__)}
    assert given <= set(ENVIRONMENT)


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_a_parameter_is_described_and_bounded(name):
    parameter = TEMPLATE["Parameters"][name]

    assert parameter["Description"]
    assert parameter.get("NoEcho") or parameter.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}


@pytest.mark.parametrize("name", TEMPLATE["Parameters"])
def test_a_parameter_is_used_and_shown_in_a_group(name):
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    text = json.dumps({"Globals": TEMPLATE["Globals"], "Resources": RESOURCES})
    asked = {resource.get("Condition") for resource in RESOURCES.values()}
    used = {
        kind: rules
        for kind, rules in TEMPLATE["Conditions"].items()
        if f'"Fn::If": ["{kind}", ' in text or kind in asked
    }

    assert used == TEMPLATE["Conditions"]
    text += json.dumps(used)
    assert f'"Ref": "{name}"' in text or f"${{{name}}}" in text
    assert name in [shown for group in groups for shown in group["Parameters"]]


@every_operation
def test_every_route_of_the_api_wants_a_key_or_a_signature_as_the_operator_chose(name):
    # A browser sends no key with OPTIONS; those tell nothing but who may ask. Nor does it to load a page.
    is_open = name.startswith("OPTIONS ") or name in STUDIO
    wanted = None if is_open else [{"Fn::If": ["ByKey", {"ClientKey": []}, {"Signature": []}]}]

    assert TEMPLATE["Conditions"]["ByKey"] == {"Fn::Equals": [{"Ref": "ApiAuth"}, "key"]}
    assert OPERATIONS[name].get("security") == wanted


def test_a_key_is_looked_at_by_the_authorizer_and_a_signature_by_aws():
    schemes = RESOURCES["Api"]["Properties"]["DefinitionBody"]["components"]["securitySchemes"]
    key, signature = schemes["ClientKey"], schemes["Signature"]

    assert TEMPLATE["Parameters"]["ApiAuth"]["AllowedValues"] == ["key", "iam"]
    assert key["x-amazon-apigateway-authtype"] == "custom"
    assert "${AuthorizeFunction.Arn}" in key["x-amazon-apigateway-authorizer"]["authorizerUri"]["Fn::Sub"]
    assert signature["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert schemes.keys() == {"ClientKey", "Signature"}


def test_no_function_has_a_route_beside_those_of_the_api():
    events = [
        event for resource in RESOURCES.values() for event in resource.get("Properties", {}).get("Events", {}).values()
    ]

    assert not [event for event in events if event["Type"] in {"Api", "HttpApi"}]
    assert not [name for name, resource in RESOURCES.items() if "FunctionUrlConfig" in resource.get("Properties", {})]
    assert [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::Serverless::Api"] == ["Api"]


@every_operation
def test_a_route_calls_a_function_that_lets_the_api_in(name):
    integration = OPERATIONS[name]["x-amazon-apigateway-integration"]
    permissions = [
        resource["Properties"]
        for resource in RESOURCES.values()
        if resource["Type"] == "AWS::Lambda::Permission"
        and resource["Properties"]["FunctionName"] == {"Ref": function_behind(OPERATIONS[name])}
    ]

    assert (integration["type"], integration["httpMethod"]) == ("aws_proxy", "POST")
    assert [permission["Principal"] for permission in permissions] == ["apigateway.amazonaws.com"]
    assert "${Api}/" in permissions[0]["SourceArn"]["Fn::Sub"]


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_may_ask_before_it_calls_a_route(path):
    preflight, *others = sorted(PATHS[path], key=lambda method: method != "options")

    assert preflight == "options"
    assert {function_behind(PATHS[path][method]) for method in others} == {function_behind(PATHS[path]["options"])}


@pytest.mark.parametrize("name", RESOURCES["Api"]["Properties"]["GatewayResponses"])
def test_what_the_gateway_says_by_itself_comes_in_the_error_envelope(name):
    response = RESOURCES["Api"]["Properties"]["GatewayResponses"][name]
    template = response["ResponseTemplates"]["application/json"]
    error = json.loads(template.replace("$context.error.messageString", '"quoted by the gateway"'))["error"]

    assert error.keys() == {"message", "type", "param", "code"}
    assert "x-request-id" in response["ResponseParameters"]["Headers"]


ANSWERS = RESOURCES["Api"]["Properties"]["GatewayResponses"]


def gateway_headers(name, **parameters):
    """The headers of one of the gateway's own answers, as it is deployed."""
    written = ANSWERS[name]["ResponseParameters"]["Headers"]
    read = {header: resolved(value, TEMPLATE, parameters) for header, value in written.items()}
    return {header: value.removeprefix("'").removesuffix("'") for header, value in read.items() if value}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_gateway_says_by_itself_bears_the_same_security_headers_as_every_other_answer(name):
    assert gateway_headers(name) == {"x-request-id": "context.requestId", **http_api.SECURITY_HEADERS}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_gateway_says_by_itself_may_be_read_by_pages_of_the_configured_origin_alone(name):
    headers = gateway_headers(name, CorsOrigin="https://shop.example.com")

    assert headers["Access-Control-Allow-Origin"] == "https://shop.example.com"
    assert set(headers["Access-Control-Expose-Headers"].split(",")) <= set(
        http_api.CORS_HEADERS["Access-Control-Expose-Headers"].split(",")
    )


def test_a_web_acl_stands_in_front_of_the_stage_only_where_one_is_named():
    association = RESOURCES["WebAclAssociation"]
    filtered = TEMPLATE["Conditions"][association["Condition"]]

    assert association["Properties"]["WebACLArn"] == {"Ref": "WebAclArn"}
    assert association["Properties"]["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${Api}/stages/${Api.Stage}")
    assert resolved(filtered, TEMPLATE, {}) is False
    assert resolved(filtered, TEMPLATE, {"WebAclArn": WEB_ACL}) is True


WEB_ACL = "arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/api/a1b2c3d4-5678-90ab-cdef-111122223333"


@pytest.mark.parametrize(
    ("arn", "is_taken"),
    [
        ("", True),
        (WEB_ACL, True),
        (WEB_ACL.replace("arn:aws:", "arn:aws-us-gov:"), True),
        (WEB_ACL.replace("regional", "global"), False),  # for CloudFront
        (WEB_ACL + "/more", False),
        ("api", False),
    ],
)
def test_a_web_acl_is_a_regional_one_of_wafs_second_version(arn, is_taken):
    assert bool(re.fullmatch(TEMPLATE["Parameters"]["WebAclArn"]["AllowedPattern"], arn)) is is_taken


def test_what_the_emulator_does_not_know_is_not_deployed_to_it():
    there = {resource["Type"] for resource in packaged(ROOT, "s3://packages/code.zip", {})["Resources"].values()}

    assert {resource["Type"] for resource in RESOURCES.values()} >= NOT_EMULATED
    assert not there & NOT_EMULATED
    assert "AWS::Serverless::Api" in there


def test_the_studio_has_routes_only_where_the_operator_wants_it():
    paths = RESOURCES["Api"]["Properties"]["DefinitionBody"]["paths"]
    chosen = {path: methods["Fn::If"] for path, methods in paths.items() if "Fn::If" in methods}

    assert TEMPLATE["Parameters"]["Studio"]["Default"] == "no"
    assert resolved({"Fn::If": ["HasStudio", 1, 0]}, TEMPLATE, {}) == 0
    assert resolved({"Fn::If": ["HasStudio", 1, 0]}, TEMPLATE, {"Studio": "yes"}) == 1
    assert {path: (condition, otherwise) for path, (condition, _, otherwise) in chosen.items()} == dict.fromkeys(
        ("/studio", "/studio/{file}"), ("HasStudio", {"Ref": "AWS::NoValue"})
    )


@pytest.mark.parametrize(("bucket", "method"), [("UploadsBucket", "POST"), ("ResultsBucket", "GET")])
def test_a_bucket_lets_pages_of_this_regions_apis_and_of_the_configured_origin_do_one_thing(bucket, method):
    condition, cors, otherwise = RESOURCES[bucket]["Properties"]["CorsConfiguration"]["Fn::If"]
    (rule,) = cors["CorsRules"]
    own, configured = rule["AllowedOrigins"]

    assert (condition, otherwise) == ("HasStudio", {"Ref": "AWS::NoValue"})
    assert rule["AllowedMethods"] == [method]
    assert own == {"Fn::Sub": "https://*.execute-api.${AWS::Region}.${AWS::URLSuffix}"}
    assert resolved(configured, TEMPLATE, {}) is None
    assert resolved(configured, TEMPLATE, {"CorsOrigin": "https://a.example"}) == "https://a.example"


def test_a_studio_that_could_let_nobody_in_is_not_deployed():
    rule = TEMPLATE["Rules"]["StudioWantsKeys"]
    (assertion,) = rule["Assertions"]

    assert resolved(rule["RuleCondition"], TEMPLATE, {}) is False
    assert resolved(rule["RuleCondition"], TEMPLATE, {"Studio": "yes"}) is True
    assert resolved(assertion["Assert"], TEMPLATE, {"ApiAuth": "key"}) is True
    assert resolved(assertion["Assert"], TEMPLATE, {"ApiAuth": "iam"}) is False
    assert "ApiAuth" in assertion["AssertDescription"]


def test_the_provider_key_is_never_shown_or_put_into_the_environment():
    assert TEMPLATE["Parameters"]["ProviderApiKey"]["NoEcho"] is True
    assert "ProviderApiKey" not in json.dumps([TEMPLATE["Globals"], TEMPLATE["Outputs"]])
