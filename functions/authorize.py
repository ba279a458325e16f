"""Let those into the API who show a client key: `Authorization: Bearer <key>`."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from variations import wiring
from variations.errors import ConfigurationError, Unauthorized
from variations.telemetry import count, logger


def find_caller(authorization: str, keys: Mapping[str, Collection[str]]) -> str:
    """Return the name of the caller whose key was shown; every key is compared, each in constant time.

    Args:
        authorization: the header, `Bearer <key>`.
        keys: caller -> keys, or `sha256:` and the hex digest of a key that is kept nowhere.

    Raises:
        Unauthorized: it is nobody's key.
    """
    scheme, _, shown = authorization.strip().partition(" ")
    secret = shown.strip().encode()
    digest = f"sha256:{hashlib.sha256(secret).hexdigest()}".encode()
    callers = [
        name
        for name, known in keys.items()
        for key in known
        if hmac.compare_digest(key.encode(), digest if key.startswith("sha256:") else secret)
    ]
    if scheme.lower() != "bearer" or not callers:
        raise Unauthorized("Send `Authorization: Bearer <key>` with a key from the client keys secret.")
    return callers[0]


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], _: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway's question with a policy for the whole stage, as the answer is cached for all routes.

    Raises:
        Exception: with the one text that API Gateway turns into 401 (API Gateway guide, "Lambda authorizer output",
            read 2026-11-22).
    """
    api, stage, *route = event["methodArn"].split("/")
    logger.append_keys(route="/".join(route)[:200])  # the question does not tell the request's id
    try:
        caller = find_caller(event["authorizationToken"], wiring.client_keys().by_caller())
    except Unauthorized:
        logger.info("a request without a valid client key")
        count("Unauthorized")
        raise Exception("Unauthorized") from None  # noqa: TRY002
    except ConfigurationError as error:
        logger.error(error.message, code=error.code)
        count("ConfigurationErrors")
        raise
    except Exception:
        logger.exception("unexpected error")
        count("Stumbles")
        raise
    logger.info("caller let in", caller=caller)
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": caller,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"caller": caller},
    }
