"""Of a transaction that was not made, the table tells whether the state of the items or DynamoDB was in its way."""

import pytest
from botocore.exceptions import ClientError
from variations.errors import StorageFailed
from variations.table import ConditionFailed, Table


class CancellingClient:
    """Stands in for the client of DynamoDB: cancels every transaction for these reasons."""

    def __init__(self, *reasons):
        self.reasons = [{"Code": reason} for reason in reasons]

    def transact_write_items(self, **_):
        error = {"Code": "TransactionCanceledException", "Message": "Transaction cancelled"}
        raise ClientError({"Error": error, "CancellationReasons": self.reasons}, "TransactWriteItems")


@pytest.mark.parametrize("reasons", [("ConditionalCheckFailed", "None"), ("None", "TransactionConflict")], ids=str)
def test_a_transaction_whose_items_are_in_another_state_did_not_meet_its_condition(reasons):
    with pytest.raises(ConditionFailed):
        Table(CancellingClient(*reasons), "jobs").put_together({"a": {}, "b": {}}, {})


@pytest.mark.parametrize("reasons", [("ThrottlingError", "None"), ("None", "ProvisionedThroughputExceeded")], ids=str)
def test_a_transaction_that_was_throttled_is_a_failure_of_the_table(reasons):
    with pytest.raises(StorageFailed):
        Table(CancellingClient(*reasons), "jobs").put_together({"a": {}, "b": {}}, {})
