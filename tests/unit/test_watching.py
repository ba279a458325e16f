"""The dashboard, the alarms and the runbook: all of them speak of the same metrics, and of metrics that there are."""

import json
import re

import pytest
from variations.telemetry import FAILURES, NAMESPACE, TOKENS, UNITS

from tests.unit.test_template import RESOURCES, ROOT, TEMPLATE, texts

OURS = ("service", "${AWS::StackName}")
AWS_METRICS = {  # those that we use, each with its dimensions (guides of the services, read 2026-11-26)
    "AWS/SQS": (
        {
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateAgeOfOldestMessage",
        },
        ["QueueName"],
    ),
    "AWS/Lambda": ({"Errors", "Throttles", "Duration", "ConcurrentExecutions"}, ["FunctionName"]),
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency"}, ["ApiName", "Stage"]),
}
FREE_METRICS = 50  # of a dashboard that is one of an account's three free ones (CloudWatch pricing, read 2026-11-26)
ALARMS = {name: alarm for name, alarm in RESOURCES.items() if alarm["Type"] == "AWS::CloudWatch::Alarm"}
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
BODY, GIVEN = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
every_alarm = pytest.mark.parametrize("name", ALARMS)


def dashboard(*, limited):
    """The dashboard as CloudWatch gets it; what stands for a resource keeps its name in braces."""
    budget = GIVEN["Budget"]["Fn::If"][1 if limited else 2]
    body = BODY.replace("${Budget}", budget["Fn::Sub"] if limited else budget)
    return json.loads(body.replace("${DailyImageLimit}", "1000"))["widgets"]


WIDGETS = dashboard(limited=True)


def written_out(rows):
    """Yield (namespace, metric, dimensions) of a widget's metrics; a dot stands for what stood there before."""
    before = []
    for row in rows:
        named = [part for part in row if not isinstance(part, dict)]
        if named:
            before = [before[place] if part == "." else part for place, part in enumerate(named)]
            yield before[0], before[1], dict(zip(before[2::2], before[3::2], strict=True))


def in_widgets():
    for widget in WIDGETS:
        yield from written_out(widget["properties"].get("metrics", ()))


def in_alarms():
    for alarm in ALARMS.values():
        properties = alarm["Properties"]
        queries = [query["MetricStat"]["Metric"] for query in properties.get("Metrics", ()) if "MetricStat" in query]
        for metric in queries or [properties]:
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
            yield metric["Namespace"], metric["MetricName"], dimensions


USED = [*in_widgets(), *in_alarms()]


def section(title):
    """A section of docs/operations.md, without its heading."""
    return OPERATIONS.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# Metrics


@pytest.mark.parametrize(("namespace", "metric", "dimensions"), USED, ids=lambda value: str(value)[:40])
def test_a_metric_that_a_widget_or_an_alarm_names_is_one_that_there_is(namespace, metric, dimensions):
    if namespace == NAMESPACE:
        assert metric in UNITS
        assert dimensions in ({"service": "${AWS::StackName}"}, {"service": {"Ref": "AWS::StackName"}})
    else:
        names, wanted = AWS_METRICS[namespace]
        assert metric in names
        assert list(dimensions) == wanted


@pytest.mark.parametrize("metric", UNITS)
def test_a_metric_is_emitted_by_some_function(metric):
    code = "".join(path.read_text() for path in (ROOT / "functions").rglob("*.py"))
    derived = {*FAILURES.values(), *TOKENS, "JobsSucceeded", "JobsPartial", "JobsFailed"}

    assert code.count(f'"{metric}"') >= (1 if metric in derived else 2), "in UNITS, and where it is measured"


def test_every_metric_of_ours_is_in_the_table_of_the_runbook_with_its_unit():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section("Metrics"), re.MULTILINE)

    assert dict(rows) == UNITS
    assert len(rows) == len(UNITS)


# The dashboard


@pytest.mark.parametrize("limited", [True, False])
def test_the_dashboard_is_json_whether_the_day_has_a_limit_or_not(limited):
    alarms = dashboard(limited=limited)[0]["properties"]["alarms"]

    assert {arn.removeprefix("${").removesuffix(".Arn}") for arn in alarms} == (
        set(ALARMS) if limited else set(ALARMS) - {"BudgetAlarm"}
    )


def test_the_dashboard_speaks_of_resources_that_there_are():
    named = {name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)\}", BODY)}

    assert {name for name in named if not name.startswith("AWS::")} <= {*RESOURCES, *TEMPLATE["Parameters"], "Budget"}


def test_no_widget_lies_on_another():
    taken = [
        (x, y)
        for widget in WIDGETS
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]

    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23


def test_the_dashboard_may_be_one_of_the_free_ones():
    assert len({(*named, *dimensions.items()) for *named, dimensions in in_widgets()}) <= FREE_METRICS


def test_the_last_failed_jobs_are_looked_for_by_what_is_logged():
    (query,) = [widget["properties"]["query"] for widget in WIDGETS if widget["type"] == "log"]

    assert "message = 'job ended' and state = 'failed'" in query
    assert {"ProcessJobsLogGroup", "GenerateVariationsLogGroup"} == set(re.findall(r"SOURCE '\$\{(\w+)\}'", query))


# Alarms


@every_alarm
def test_an_alarm_names_its_paragraph_in_the_runbook(name):
    paragraphs = re.findall(r"^### (\w+)$", section("When an alarm goes off"), re.MULTILINE)
    (told,) = re.findall(r'docs/operations\.md, "(\w+)"\.$', ALARMS[name]["Properties"]["AlarmDescription"])

    assert told == name
    assert set(paragraphs) == set(ALARMS)
    assert len(paragraphs) == len(ALARMS)


@every_alarm
def test_a_paragraph_of_the_runbook_says_what_to_look_at_and_what_to_do(name):
    paragraph = section("When an alarm goes off").partition(f"### {name}\n")[2].partition("\n### ")[0]

    assert all(f"**{part}.**" in paragraph for part in ("Means", "Look", "Do"))
    assert "```" in paragraph


@every_alarm
def test_an_alarm_is_told_when_it_goes_off_and_when_it_is_over(name):
    properties = ALARMS[name]["Properties"]

    assert properties["AlarmActions"] == properties["OKActions"]
    assert texts(properties["AlarmActions"]) == ["Alarms", "AlarmTopic", "AWS::NoValue"]
    assert properties["TreatMissingData"] in {"notBreaching", "ignore"}


@every_alarm
def test_an_expression_of_an_alarm_speaks_of_the_metrics_beside_it(name):
    queries = ALARMS[name]["Properties"].get("Metrics", [])
    expressions = [query["Expression"] for query in queries if "Expression" in query]
    used = {word for expression in expressions for word in re.findall(r"\b[a-z]\w*", expression)}

    assert not queries or {query["Id"] for query in queries if not query.get("ReturnData", True)} == used
    assert len([query for query in queries if query.get("ReturnData", True)]) == bool(queries)


def test_an_error_of_a_function_to_which_it_is_an_answer_is_no_alarm():
    queries = ALARMS["FunctionErrorsAlarm"]["Properties"]["Metrics"]
    functions = {text for text in texts(queries) if text.endswith("Function")}

    answering = {"CreateVariationsFunction", "GetJobFunction", "ListModelsFunction", "ServeStudioFunction"}
    assert functions == {"ProcessJobsFunction", *answering}
    assert "Stumbles" in texts(queries)


def test_an_error_of_a_worker_is_seen_although_lambda_dates_it_by_its_beginning():
    alarm, worker = ALARMS["FunctionErrorsAlarm"]["Properties"], RESOURCES["ProcessJobsFunction"]["Properties"]

    assert alarm["EvaluationPeriods"] * 300 > worker["Timeout"]
    assert alarm["DatapointsToAlarm"] == 1


# Tracing and access logs


def test_x_ray_records_only_if_it_is_asked_to():
    assert TEMPLATE["Parameters"]["Tracing"]["Default"] == "PassThrough"
    assert TEMPLATE["Globals"]["Function"]["Tracing"] == {"Ref": "Tracing"}
    assert RESOURCES["Api"]["Properties"]["TracingEnabled"] == {"Fn::If": ["Traced", True, False]}


def test_the_api_writes_access_logs_only_if_it_is_asked_to_and_no_keys_into_them():
    condition, setting, otherwise = RESOURCES["Api"]["Properties"]["AccessLogSetting"]["Fn::If"]

    assert (condition, otherwise) == ("Logged", {"Ref": "AWS::NoValue"})
    assert TEMPLATE["Parameters"]["AccessLogs"]["Default"] == "no"
    assert json.loads(setting["Format"])["request_id"] == "$context.requestId"
    assert not re.search("authorization|apiKey|querystring|header", setting["Format"])
    group = RESOURCES[setting["DestinationArn"]["Fn::GetAtt"][0]]
    assert group["Condition"] == "Logged"
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
