"""The authorizer: API Gateway's question through the real handler."""

import hashlib
import json

import authorize
import pytest
from variations import wiring
from variations.errors import ConfigurationError

from tests.conftest import event
from tests.fakes import Clock


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


def sha256(key):
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def set_keys(aws, **keys):
    aws.secrets.put_secret_value(SecretId="client-keys", SecretString=json.dumps(keys))


def test_a_key_of_which_only_the_digest_is_kept_is_let_in(aws, context):
    set_keys(aws, shop=sha256("sk-shop"))

    assert ask("Bearer sk-shop", context)["principalId"] == "shop"


@pytest.mark.parametrize("shown", ["sk-local", sha256("sk-shop"), sha256("sk-shop").removeprefix("sha256:"), "sha256:"])
def test_whoever_has_only_read_the_digest_is_not_let_in(aws, context, shown):
    set_keys(aws, shop=sha256("sk-shop"))

    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask(f"Bearer {shown}", context)


@pytest.mark.parametrize(("key", "caller"), [("sk-local", "office"), ("sk-shop", "shop"), ("test", "tests")])
def test_among_many_callers_each_is_known_by_its_own_key_plain_or_as_a_digest(aws, context, key, caller):
    set_keys(aws, office="sk-local", shop=sha256("sk-shop"), tests="test")

    answer = ask(f"Bearer {key}", context)

    assert (answer["principalId"], answer["context"]) == (caller, {"caller": caller})


@pytest.mark.parametrize("authorization", ["bearer sk-local", "BEARER  sk-local ", " Bearer sk-local"])
def test_the_scheme_may_be_written_in_any_way(aws, context, authorization):
    assert ask(authorization, context)["principalId"] == "default"


def test_a_secret_without_callers_lets_nobody_in(aws, context):
    set_keys(aws)

    for authorization in ("Bearer sk-local", "Bearer "):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            ask(authorization, context)


@pytest.mark.parametrize("keys", ['{"shop": ""}', '{"shop": 7}', '{"shop": null}', "[]", '"sk-shop"', ""])
def test_a_secret_with_a_key_that_is_none_is_the_operators_fault(aws, context, environment, keys):
    aws.secrets.put_secret_value(SecretId="client-keys", SecretString=keys or " ")

    with pytest.raises(ConfigurationError, match="caller name"):
        ask("Bearer ", context)


@pytest.fixture
def clock():
    """A clock that the keys secret reads."""
    clock = Clock()
    wiring.client_keys().secret.clock = clock
    return clock


def test_a_removed_key_is_refused_once_the_secret_is_read_again(aws, context, clock):
    ask("Bearer sk-shop", context)
    set_keys(aws, default="sk-local")

    clock.now += 300
    assert ask("Bearer sk-shop", context)["principalId"] == "shop"
    clock.now += 1
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask("Bearer sk-shop", context)


def test_a_new_key_is_let_in_once_the_secret_is_read_again(aws, context, clock):
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        ask("Bearer test", context)
    set_keys(aws, default="sk-local", tests="test")

    clock.now += 301
    assert ask("Bearer test", context)["principalId"] == "tests"


def test_the_policy_allows_no_other_stage_and_no_other_api(aws, context):
    question = {**event("authorize"), "methodArn": "arn:aws:execute-api:eu-west-1:1:abc/prod/POST/images/variations"}

    (statement,) = authorize.handler(question, context)["policyDocument"]["Statement"]

    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"] == "arn:aws:execute-api:eu-west-1:1:abc/prod/*"


def test_no_caller_may_be_called_like_the_one_of_bucket_uploads(aws, context):
    aws.secrets.put_secret_value(SecretId="client-keys", SecretString='{"s3:upload": "sk-local"}')

    with pytest.raises(ConfigurationError, match="colon"):
        ask("Bearer sk-local", context)
