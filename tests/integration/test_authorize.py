"""The authorizer: API Gateway's question through the real handler."""

import authorize
import pytest
from variations.errors import ConfigurationError

from tests.conftest import event


def ask(authorization, context):
    return authorize.handler({**event("authorize"), "authorizationToken": authorization}, context)


def test_a_known_key_is_let_into_every_route_of_the_stage_under_its_callers_name(aws, context):
    answer = authorize.handler(event("authorize"), context)

    assert answer["context"] == {"caller": "default"}
    (statement,) = answer["policyDocument"]["Statement"]
    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/v1/*"


def test_each_key_has_its_caller(aws, context):
    assert ask("Bearer sk-shop", context)["principalId"] == "shop"


@pytest.mark.parametrize(
    "authorization",
    [
        pytest.param("Bearer sk-wrong", id="unknown key"),
        pytest.param("Bearer ", id="no key"),
        pytest.param("sk-local", id="no scheme"),
        pytest.param("Basic sk-local", id="another scheme"),
        pytest.param("Bearer sk-loca", id="a beginning of a key"),
        pytest.param("Bearer schlüssel", id="not ASCII"),
        pytest.param("", id="nothing"),
    ],
)
def test_whoever_shows_no_known_key_is_unauthorized(aws, context, authorization, printed):
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(authorization, context)
    assert "sk-" not in printed()


def test_a_broken_secret_is_the_operators_fault_and_lets_nobody_in(aws, context):
    aws.secrets.put_secret_value(SecretId="client-keys", SecretString="sk-local")

    with pytest.raises(ConfigurationError, match="caller name"):
        ask("Bearer sk-local", context)
