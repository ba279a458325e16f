"""Talk to the jobs table in plain Python values, and translate DynamoDB's failures once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from .errors import ConfigurationError, StorageFailed

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import PutTypeDef, QueryInputTypeDef

KEY = "job_id"


class ConditionFailed(Exception):
    """A conditional write found the table in another state than its condition wants."""


@dataclass(frozen=True)
class Table:
    """A DynamoDB table keyed by `job_id`; numbers come back as Decimal."""

    client: "DynamoDBClient"
    name: str

    def get(self, key: str) -> dict[str, Any] | None:
        """Read one item as it is now, or None."""
        with _translated():
            found = self.client.get_item(TableName=self.name, Key=self._key(key), ConsistentRead=True)
        return _deserialize(found["Item"]) if "Item" in found else None

    def update(self, key: str, expression: str, condition: str, **values: Any) -> dict[str, Any]:
        """Change one item if the condition holds.

        Args:
            key: of the item, which is made if there is none.
            expression: DynamoDB's UpdateExpression; `:name` stands for the value of that name.
            condition: DynamoDB's ConditionExpression.
            values: for both, each of them used.

        Returns:
            The item as it is after.

        Raises:
            ConditionFailed: the condition does not hold.
            StorageFailed: DynamoDB failed. ConfigurationError: no such table, or no permission.
        """
        with _translated():
            updated = self.client.update_item(
                TableName=self.name,
                Key=self._key(key),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues={f":{name}": value for name, value in _serialize(values).items()},
                ReturnValues="ALL_NEW",
            )
        return _deserialize(updated["Attributes"])

    def add(self, key: str, attribute: str, amount: int, *, limit: int, expires_at: int) -> int:
        """Add to a number of one item, unless it would become more than the limit; all at once or not at all.

        Args:
            key: of the item, which is made if there is none.
            attribute: its number; it counts as 0 where there is none.
            amount: from 0.
            limit: the largest sum.
            expires_at: the epoch second after which DynamoDB deletes the item.

        Returns:
            The sum.

        Raises:
            ConditionFailed: it would be more than the limit; nothing was added.
            StorageFailed, ConfigurationError: as `update`.
        """
        item = self.update(
            key,
            f"SET {attribute} = if_not_exists({attribute}, :none) + :amount, expires_at = :expires_at",
            f"(attribute_not_exists({attribute}) AND :amount <= :limit) OR {attribute} <= :room",
            none=0,
            amount=amount,
            limit=limit,
            room=limit - amount,
            expires_at=expires_at,
        )
        return int(item[attribute])

    def query(
        self, index: str, condition: str, only: str, *, start: Mapping[str, Any] | None, enough: int, **values: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield items of an index, the largest sort key first, as they were a moment ago.

        Args:
            index: its name.
            condition: DynamoDB's KeyConditionExpression; `:name` stands for the value of that name.
            only: DynamoDB's FilterExpression; what it leaves out was read, and is paid for, all the same.
            start: the keys, of the table and of the index, of the item before the first; None begins with the first.
            enough: how many will be taken, if nothing is left out; they are read at once.
            values: for both expressions, each of them used.

        Raises:
            StorageFailed: DynamoDB failed. ConfigurationError: no such table or index, or no permission.
        """
        asked: QueryInputTypeDef = {
            "TableName": self.name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "FilterExpression": only,
            "ExpressionAttributeValues": {f":{name}": value for name, value in _serialize(values).items()},
            "ScanIndexForward": False,
        }
        more: QueryInputTypeDef = {**asked, "Limit": enough}
        if start:
            more["ExclusiveStartKey"] = _serialize(start)
        while True:
            with _translated():
                found = self.client.query(**more)
            yield from map(_deserialize, found["Items"])
            if "LastEvaluatedKey" not in found:
                return
            more = {**asked, "ExclusiveStartKey": found["LastEvaluatedKey"]}

    def put_together(
        self, items: Mapping[str, Mapping[str, Any]], conditions: Mapping[str, str], **values: Any
    ) -> None:
        """Write several items, all or none.

        Args:
            items: key -> attributes.
            conditions: key -> ConditionExpression for it; a key without one must not be there yet.
            values: for the conditions.

        Raises:
            ConditionFailed: one of them does not hold, or somebody else writes the same items right now.
        """
        with _translated():
            self.client.transact_write_items(
                TransactItems=[
                    {"Put": self._put(key, attributes, conditions.get(key, f"attribute_not_exists({KEY})"), values)}
                    for key, attributes in items.items()
                ]
            )

    def _put(self, key: str, attributes: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> "PutTypeDef":
        put: PutTypeDef = {
            "TableName": self.name,
            "Item": _serialize({KEY: key, **attributes}),
            "ConditionExpression": condition,
        }
        if used := {f":{name}": value for name, value in _serialize(values).items() if f":{name}" in condition}:
            put["ExpressionAttributeValues"] = used  # DynamoDB takes neither an unused value nor an empty dict
        return put

    def _key(self, key: str) -> dict[str, Any]:
        return {KEY: {"S": key}}


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields, and those of dicts inside them, without the ones that are None."""
    return {
        name: without_none(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }


def _serialize(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: TypeSerializer().serialize(value) for name, value in values.items()}


def _deserialize(item: Any) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


@contextmanager
def _translated() -> Iterator[None]:
    """Turn botocore's exceptions into the error tree, and failed conditions into ConditionFailed."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        if code == "ConditionalCheckFailedException" or reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
            raise ConditionFailed(code) from error
        if code in {"AccessDeniedException", "ResourceNotFoundException"}:
            raise ConfigurationError(f"The jobs table refuses us: {code}. Deploy the stack again.") from error
        raise StorageFailed("The jobs table failed.", detail=code) from error
    except BotoCoreError as error:
        raise StorageFailed("The jobs table failed.", detail=type(error).__name__) from error
