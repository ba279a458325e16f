"""Keep jobs away from a provider that is down, so that they wait on the queue and do not fail one by one.

Powertools' circuit breaker keeps its state in the jobs table, for all workers: after FAILURES in a row the circuit is
open and jobs wait; after RECOVERY_SECONDS one of them probes, and if it does well the circuit closes.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools.utilities.circuit_breaker import (
    CircuitBreakerConfig,
    CircuitBreakerOpenError,
    circuit_breaker,
)
from aws_lambda_powertools.utilities.circuit_breaker.persistence import CircuitBreakerDynamoDBPersistence

from .errors import ProviderDown, ProviderFailed, ProviderTimeout, ProviderUnreachable
from .table import KEY

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

FAILURES = 5  # in a row, in one container
RECOVERY_SECONDS = 60
OUTAGE = (ProviderFailed, ProviderTimeout, ProviderUnreachable)
Result = TypeVar("Result")


class Breaker:
    """The circuit of one provider."""

    def __init__(self, client: "DynamoDBClient", table_name: str, provider: str) -> None:
        self.name = f"circuit#{provider}"
        self.store = CircuitBreakerDynamoDBPersistence(
            table_name,
            key_attr=KEY,
            state_attr="circuit_state",
            expiry_attr="expires_at",
            boto3_client=client,
        )
        self.config = CircuitBreakerConfig(
            failure_threshold=FAILURES,
            recovery_timeout=RECOVERY_SECONDS,
            success_threshold=1,  # a second probe would have to come from the same container
            handled_exceptions=OUTAGE,
        )

    def __call__(self, work: Callable[[], Result]) -> Result:
        """Do some work with the provider, if it is not known to be down.

        Raises:
            ProviderDown: it is, and nothing was done.
        """
        guarded = circuit_breaker(name=self.name, persistence_store=self.store, config=self.config)(work)
        try:
            result: Result = guarded()
        except CircuitBreakerOpenError as error:
            raise ProviderDown(
                "The provider has failed several times in a row, so jobs wait until it is well again.",
                retry_after_seconds=RECOVERY_SECONDS,
            ) from error
        return result
