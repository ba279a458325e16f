"""Answer as the AWS services with a JSON protocol do: just enough for a job that is new, goes well and is told of."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_ATTRIBUTE = "job_id"
SECRET = "sk-bench"
# One assignment of an UpdateExpression: `name = :value`, `name[0] = :value`, `name = if_not_exists(name, :value)`.
ASSIGNMENT = re.compile(r"(?P<name>\w+)(\[(?P<place>\d+)\])? = (?P<kept>if_not_exists\(\w+, )?(?P<value>:\w+)\)?")

Payload = dict[str, Any]


class Books:
    """A DynamoDB table that believes every condition to hold."""

    def __init__(self) -> None:
        self._items: dict[str, Payload] = {}

    def get(self, payload: Payload) -> Payload:
        """Answer GetItem."""
        item = self._items.get(_key(payload))
        return {"Item": item} if item else {}

    def update(self, payload: Payload) -> Payload:
        """Answer UpdateItem with ReturnValues ALL_NEW; sums are not understood, as no job that goes well needs any."""
        item = self._items.setdefault(_key(payload), dict(payload["Key"]))
        values = payload["ExpressionAttributeValues"]
        for found in ASSIGNMENT.finditer(payload["UpdateExpression"]):
            name, place, value = found["name"], found["place"], values[found["value"]]
            if place is not None:
                entries = item.setdefault(name, {"L": []})["L"]
                entries[int(place) : int(place) + 1] = [value]
            elif not (found["kept"] and name in item):
                item[name] = value
        return {"Attributes": item}

    def put_together(self, payload: Payload) -> Payload:
        """Answer TransactWriteItems with nothing but Puts."""
        for written in payload["TransactItems"]:
            item = written["Put"]["Item"]
            self._items[item[KEY_ATTRIBUTE]["S"]] = item
        return {}


class JsonServices:
    """DynamoDB, Secrets Manager, SQS and EventBridge, told apart by the header X-Amz-Target."""

    def __init__(self) -> None:
        books = Books()
        self._operations: dict[str, Callable[[Payload], Payload]] = {
            "GetItem": books.get,
            "UpdateItem": books.update,
            "TransactWriteItems": books.put_together,
            "GetSecretValue": lambda payload: {"Name": payload["SecretId"], "SecretString": SECRET},
            "ChangeMessageVisibility": lambda _: {},
            "SendMessage": lambda _: {"MessageId": "1"},
            "PutEvents": lambda payload: {
                "FailedEntryCount": 0,
                "Entries": [{"EventId": str(number)} for number, _ in enumerate(payload["Entries"])],
            },
        }

    def answer(self, target: str, body: bytes) -> bytes:
        """Answer the call that X-Amz-Target names; raise KeyError for one that no worker should make."""
        return json.dumps(self._operations[target.rpartition(".")[2]](json.loads(body))).encode()


def _key(payload: Payload) -> str:
    return str(payload["Key"][KEY_ATTRIBUTE]["S"])
