"""Keys are read from Secrets Manager, kept for five minutes, and never shown."""

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from variations.errors import ConfigurationError, StorageFailed
from variations.keys import ClientKeys, ProviderKey, Secret


class SecretsManager:
    """Stands in for the client of Secrets Manager: hands out `secret`, or raises it."""

    def __init__(self, secret, previous=None):
        self.secret = secret
        self.previous = previous or ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        self.asked = []

    def get_secret_value(self, *, SecretId, VersionStage="AWSCURRENT"):  # noqa: N803 - boto3's words
        self.asked.append(SecretId)
        text = self.secret if VersionStage == "AWSCURRENT" else self.previous
        if isinstance(text, Exception):
            raise text
        return {"SecretBinary": text} if isinstance(text, bytes) else {"SecretString": text}


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def secret_of(secret, clock=None):
    return Secret(SecretsManager(secret), "the-secret", clock or Clock())


def provider_key(secret):
    return next(ProviderKey(secret_of(secret)).values())


def clients(secret):
    return ClientKeys(secret_of(secret)).by_caller()


def test_a_secret_is_read_on_first_use_and_not_before():
    secret = secret_of("test")

    assert secret.client.asked == []
    assert secret.text() == "test"
    assert secret.client.asked == ["the-secret"]


@pytest.mark.parametrize("text", ["test", ""], ids=["key", "empty"])
def test_a_secret_is_kept_for_five_minutes(text):
    clock = Clock()
    secret = secret_of(text, clock)
    secret.text()

    clock.now += 300
    assert secret.text() == text
    assert len(secret.client.asked) == 1


def test_a_rotated_secret_is_noticed_after_five_minutes():
    clock = Clock()
    secret = secret_of("test", clock)
    secret.text()

    secret.client.secret = "sk-local"
    clock.now += 301
    assert secret.text() == "sk-local"
    clock.now += 300
    assert secret.text() == "sk-local"
    assert len(secret.client.asked) == 2


def test_a_refresh_reads_the_secret_at_once_and_keeps_it_for_another_five_minutes():
    clock = Clock()
    secret = secret_of("test", clock)
    secret.text()

    secret.client.secret = "sk-local"
    clock.now += 299
    secret.refresh()
    clock.now += 299
    assert secret.text() == "sk-local"
    assert len(secret.client.asked) == 2


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSecretValue"),
        ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "GetSecretValue"),
        ClientError({"Error": {}}, "GetSecretValue"),
        b"binary",
    ],
    ids=["no permission", "no secret", "nothing said", "binary secret"],
)
def test_a_secret_that_cannot_be_read_is_a_matter_of_configuration_whose_log_alone_names_it(failure):
    with pytest.raises(ConfigurationError, match="The secret of a key cannot be read") as caught:
        secret_of(failure).text()

    assert "the-secret" in str(caught.value)
    assert "the-secret" not in caught.value.message


PASSING = ["ThrottlingException", "InternalServiceError", "InternalServiceErrorException", "ServiceUnavailable"]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        *((ClientError({"Error": {"Code": code, "Message": "no"}}, "GetSecretValue"), code) for code in PASSING),
        (EndpointConnectionError(endpoint_url="https://secrets.test"), "EndpointConnectionError"),
        (NoCredentialsError(), "NoCredentialsError"),
    ],
    ids=[*PASSING, "no connection", "no credentials"],
)
def test_a_secret_that_cannot_be_read_just_now_is_tried_again_later(failure, cause):
    with pytest.raises(StorageFailed, match=rf"Secrets Manager failed\. \[{cause}\]") as caught:
        secret_of(failure).text()

    assert caught.value.message == "Secrets Manager failed."
    assert caught.value.retryable


def test_a_secret_that_could_not_be_read_is_read_on_its_next_use():
    secret = secret_of(EndpointConnectionError(endpoint_url="https://secrets.test"))
    with pytest.raises(StorageFailed):
        secret.text()

    secret.client.secret = "sk-local"
    assert secret.text() == "sk-local"


def test_a_secret_that_is_due_is_not_used_any_longer_while_it_cannot_be_read():
    clock = Clock()
    secret = secret_of("test", clock)
    secret.text()

    secret.client.secret = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")
    clock.now += 301
    for _ in range(2):
        with pytest.raises(StorageFailed):
            secret.text()


def test_a_secret_is_not_shown_where_objects_are_printed():
    secret = secret_of("sk-local")
    secret.text()

    assert "sk-local" not in repr(ProviderKey(secret))


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("sk-local", "sk-local"),
        (" sk-local\n", "sk-local"),
        ('{"apiKey": "sk-local"}', "sk-local"),
        ('\n{"apiKey": " sk-local ", "owner": "ann"}', "sk-local"),
        ("", ""),
        ('{"apiKey": ""}', ""),
    ],
    ids=["bare", "bare with blanks", "json", "json with blanks", "no key", "json without a key"],
)
def test_a_provider_key_is_read_bare_or_from_json(secret, key):
    assert provider_key(secret) == key


@pytest.mark.parametrize(
    "secret",
    ["sk local", "sk\nlocal", "schlüssel", '{"apiKey": "sk local"}', '{"key": "sk-local"}', '{"apiKey": "sk-loc'],
    ids=["blank", "two lines", "accent", "blank in json", "another name", "cut off"],
)
def test_a_provider_key_that_no_header_can_carry_is_refused_without_showing_it(secret):
    with pytest.raises(ConfigurationError, match="provider secret must be the bare key") as caught:
        provider_key(secret)

    assert "local" not in caught.value.message


@pytest.mark.parametrize("value", ["null", "7", "[]", "{}"])
def test_a_provider_key_that_is_no_text_is_refused(value):
    with pytest.raises(ConfigurationError):
        provider_key(f'{{"apiKey": {value}}}')


def rotate(current, previous, *, known=None):
    """Return the keys that are tried, where the secret held `known` when it was read last."""
    manager = SecretsManager(known or current, previous)
    key = ProviderKey(Secret(manager, "the-secret", Clock()))
    tried = [next(values := key.values())]
    manager.secret = current
    return [*tried, *values]


def test_a_key_that_is_refused_is_followed_by_the_one_the_secret_holds_now():
    assert rotate("sk-new", "sk-old", known="sk-old") == ["sk-old", "sk-new"]


def test_a_new_key_that_is_refused_is_followed_by_the_one_before():
    assert rotate('{"apiKey": "sk-new"}', '{"apiKey": "sk-old"}') == ["sk-new", "sk-old"]


def test_that_the_key_before_is_used_is_logged_without_it(caplog):
    rotate("sk-new", "sk-old")

    (line,) = caplog.messages
    assert line == "The provider refuses the key in the-secret; the one before is tried."


def test_three_keys_are_tried_where_the_secret_was_changed_twice():
    assert rotate("sk-new", "sk-middle", known="sk-old") == ["sk-old", "sk-new", "sk-middle"]


THROTTLED = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue")


@pytest.mark.parametrize("previous", [None, "", "sk-new", "sk old", '{"key": "sk-old"}', b"binary", THROTTLED])
def test_without_a_usable_key_before_it_only_the_refused_one_is_tried(previous):
    assert rotate("sk-new", previous) == ["sk-new"]


def test_a_secret_that_was_emptied_is_not_filled_with_the_key_before():
    assert rotate("", "sk-old") == [""]


def test_client_keys_are_read_by_caller():
    assert clients('{"ann": "test", "ben": "sk-local"}') == {"ann": ["test"], "ben": ["sk-local"]}


def test_a_caller_has_two_keys_while_one_is_replaced():
    assert clients('{"ann": ["test", "sk-local"]}') == {"ann": ["test", "sk-local"]}


def test_a_client_key_that_was_added_is_known_after_five_minutes():
    clock = Clock()
    keys = ClientKeys(secret_of('{"ann": "test"}', clock))
    keys.by_caller()

    keys.secret.client.secret = '{"ben": "sk-local"}'
    clock.now += 301
    assert keys.by_caller() == {"ben": ["sk-local"]}


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "test",
        '["test"]',
        '"test"',
        "null",
        '{"ann": 7}',
        '{"ann": ""}',
        '{"ann": null}',
        '{"ann": {"key": "test"}}',
        '{"ann": ["test", 7]}',
        '{"ann": ["test", ""]}',
    ],
    ids=[
        "empty",
        "bare",
        "list",
        "text",
        "null",
        "number",
        "empty key",
        "null key",
        "nested",
        "a number too",
        "an empty one too",
    ],
)
def test_client_keys_that_are_not_texts_by_caller_are_refused_without_showing_them(secret):
    with pytest.raises(ConfigurationError, match=r'JSON like \{"caller name": "key"\}') as caught:
        clients(secret)

    assert "test" not in caught.value.message
