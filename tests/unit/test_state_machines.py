"""What must hold in the state machines, and neither the linter nor the emulator tells."""

import json
import re

import pytest

from infra.state_machines import ROOT, state_machines

MACHINES = state_machines()
STATES = MACHINES["BackfillStateMachine"]["Definition"]["States"]
MAPS = {name: state for name, state in STATES.items() if state["Type"] == "Map"}
KINDS = {"prefix": "QueuePrefix", "csv": "QueueCsv", "jsonl": "QueueJsonLines", "inventory": "QueueInventory"}
every_machine = pytest.mark.parametrize("name", MACHINES)
every_map = pytest.mark.parametrize("name", MAPS)


def processor(name):
    """The one state that handles a batch."""
    (state,) = MAPS[name]["ItemProcessor"]["States"].values()
    return state


@every_machine
def test_a_machine_is_given_exactly_what_its_definition_names(name):
    named = set(re.findall(r"\$\{(\w+)\}", json.dumps(MACHINES[name]["Definition"])))

    assert named == MACHINES[name]["DefinitionSubstitutions"].keys()


@every_machine
def test_a_definition_has_no_anchors_as_cloudformation_may_not_know_them(name):
    text = (ROOT / MACHINES[name]["DefinitionUri"]).read_text()

    assert not re.findall(r"(?m)[:-] +[&*]\w", text)


@every_machine
def test_no_state_machine_may_act_on_everything(name):
    statements = [statement for policy in MACHINES[name]["Policies"] for statement in policy["Statement"]]

    for statement in statements:
        branches = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
        for branch in branches:
            assert "*" not in json.dumps(branch.get("Action", ""))
            assert branch.get("Resource") != "*"


def test_every_kind_of_list_has_a_map_of_its_own():
    choices = {choice["StringEquals"]: choice["Next"] for choice in STATES["WhichKind"]["Choices"]}

    assert choices == KINDS
    assert set(KINDS.values()) == MAPS.keys()
    assert [MAPS[name]["ItemReader"].get("ReaderConfig", {}).get("InputType") for name in KINDS.values()] == [
        None,
        "CSV",
        "JSONL",
        "MANIFEST",
    ]


@every_map
def test_the_maps_differ_in_what_they_read_and_in_nothing_else(name):
    own = {"Label", "ItemReader", "ItemSelector", "ItemProcessor"}
    shared = lambda state: {key: value for key, value in state.items() if key not in own}  # noqa: E731

    assert shared(MAPS[name]) == shared(MAPS["QueuePrefix"])
    assert processor(name) == processor("QueuePrefix")


@every_map
def test_a_batch_goes_straight_into_sqs_and_is_no_larger_than_it_takes(name):
    assert processor(name)["Resource"] == "arn:aws:states:::aws-sdk:sqs:sendMessageBatch"
    assert MAPS[name]["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}
    assert MAPS[name]["ItemBatcher"]["MaxItemsPerBatch"] == 10
    # A batch, and the messages that are written from it, fit together into the 256 KiB of a state.
    assert 2 * MAPS[name]["ItemBatcher"]["MaxInputBytesPerBatch"] < 256 * 1024


@every_map
def test_a_batch_that_was_taken_in_part_is_sent_again_and_counts_as_failed_in_the_end(name):
    assert "$states.result.Failed) = 0 ?" in processor(name)["Output"]
    assert processor(name)["Retry"][0]["ErrorEquals"] == ["States.ALL"]
    assert processor(name)["Retry"][0]["MaxAttempts"] >= 3


@every_map
def test_millions_of_results_go_to_s3_and_few_failures_stop_nothing(name):
    assert MAPS[name]["ResultWriter"]["Parameters"] == {"Bucket": "${ResultsBucket}", "Prefix": "backfills"}
    assert MAPS[name]["ToleratedFailurePercentage"] == 1
    assert MAPS[name]["MaxConcurrency"] == 100


@every_map
def test_every_picture_of_a_list_is_asked_for_only_if_it_is_missing(name):
    selector = MAPS[name]["ItemSelector"]

    assert selector["only_missing"] is True
    assert (selector["options.$"], selector["id.$"]) == ("$.options", "$.id")
    assert "source" in selector


def test_keys_of_an_inventory_are_encoded_and_those_of_a_listing_are_not():
    assert MAPS["QueueInventory"]["ItemSelector"]["source"]["encoded_key.$"] == "$$.Map.Item.Value.Key"
    assert MAPS["QueuePrefix"]["ItemSelector"]["source"]["key.$"] == "$$.Map.Item.Value.Key"
    assert MAPS["QueuePrefix"]["ItemSelector"]["source"]["etag.$"] == "$$.Map.Item.Value.Etag"


def test_the_example_does_not_start_itself():
    pattern = MACHINES["ExampleStateMachine"]["Events"]["VariationsCompleted"]["Properties"]["Pattern"]

    assert pattern["detail"]["caller"] == [{"anything-but": ["lambda:invoke"]}]
