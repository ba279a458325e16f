"""Settings come from the environment; a wrong one is refused by the name of its template parameter."""

import pytest
from variations.errors import ConfigurationError
from variations.settings import Settings

ENVIRONMENT = {
    "PROVIDER_BASE_URL": "https://api.openai.com/v1",
    "PROVIDER_DIALECT": "auto",
    "PROVIDER_SECRET": "provider",
    "CLIENT_KEYS_SECRET": "clients",
    "DEFAULT_MODEL": "gpt-image-2",
    "DEFAULT_SIZE": "1024x1024",
    "UPLOAD_VARIATIONS": "4",
    "MAX_SOURCE_BYTES": "52428800",
    "MAX_SOURCE_MEGAPIXELS": "50",
    "SOURCE_METADATA": "strip",
    "RESULT_METADATA": "keep",
    "MAX_ATTEMPTS": "2",
    "DAILY_IMAGE_LIMIT": "1000",
    "DAILY_IMAGE_LIMIT_PER_CALLER": "0",
    "REQUESTS_PER_MINUTE": "120",
    "PROVIDER_CALLS": "allowed",
    "RESULT_EXPIRATION_DAYS": "30",
    "RESULTS_BUCKET": "results",
    "JOBS_TABLE": "jobs",
    "EVENT_BUS": "bus",
    "JOBS_QUEUE_URL": "https://sqs.test/jobs",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.test/dead-letters",
    "UPLOADS_BUCKET": "uploads",
    "UPLOAD_PREFIX": "incoming/",
    "WATCHED_BUCKET": "archive",
    "ALLOWED_SOURCE_BUCKETS": "one,two",
    "ALLOWED_SOURCE_HOSTS": "pictures.example.com",
    "API_TIMEOUT_SECONDS": "29",
    "CORS_ORIGIN": "https://studio.example.com",
}
MAY_BE_EMPTY = ["DEFAULT_MODEL", "WATCHED_BUCKET", "ALLOWED_SOURCE_BUCKETS", "ALLOWED_SOURCE_HOSTS", "CORS_ORIGIN"]
NUMBERS = {
    "UPLOAD_VARIATIONS": "UploadVariations",
    "MAX_SOURCE_BYTES": "MaxSourceBytes",
    "MAX_SOURCE_MEGAPIXELS": "MaxSourceMegapixels",
    "MAX_ATTEMPTS": "MaxAttempts",
    "RESULT_EXPIRATION_DAYS": "ResultExpirationDays",
    "API_TIMEOUT_SECONDS": "ApiTimeoutSeconds",
}


def read(**changes):
    return Settings.from_env(ENVIRONMENT | changes)


def test_every_setting_is_read_from_the_variable_of_its_name():
    assert read() == Settings(
        provider_base_url="https://api.openai.com/v1",
        provider_dialect="auto",
        provider_secret="provider",
        client_keys_secret="clients",
        default_model="gpt-image-2",
        default_size="1024x1024",
        upload_variations=4,
        max_source_bytes=52428800,
        max_source_megapixels=50,
        source_metadata="strip",
        result_metadata="keep",
        max_attempts=2,
        daily_image_limit=1000,
        daily_image_limit_per_caller=0,
        requests_per_minute=120,
        provider_calls="allowed",
        result_expiration_days=30,
        results_bucket="results",
        jobs_table="jobs",
        event_bus="bus",
        jobs_queue_url="https://sqs.test/jobs",
        dead_letter_queue_url="https://sqs.test/dead-letters",
        uploads_bucket="uploads",
        upload_prefix="incoming/",
        watched_bucket="archive",
        allowed_source_buckets=("one", "two"),
        allowed_source_hosts=("pictures.example.com",),
        api_timeout_seconds=29,
        cors_origin="https://studio.example.com",
    )


def test_other_variables_do_not_matter():
    assert read(PATH="/bin", provider_base_url="nonsense") == read()


@pytest.mark.parametrize("name", MAY_BE_EMPTY)
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "empty"])
def test_what_a_stack_can_do_without_may_be_empty(name, absent):
    environment = {**ENVIRONMENT, name: ""}
    if absent:
        del environment[name]

    assert not getattr(Settings.from_env(environment), name.lower())


@pytest.mark.parametrize("name", ["ALLOWED_SOURCE_BUCKETS", "ALLOWED_SOURCE_HOSTS"])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("one", ("one",)),
        ("one,two.three", ("one", "two.three")),
        (" One , TWO ", ("one", "two")),
        (",one,,two,", ("one", "two")),
        (" , ", ()),
    ],
    ids=["one", "two", "blanks and capitals", "stray commas", "only a comma"],
)
def test_names_of_buckets_and_hosts_are_read_in_small_letters_with_commas_between_them(name, text, names):
    assert getattr(read(**{name: text}), name.lower()) == names


@pytest.mark.parametrize("name", sorted(ENVIRONMENT.keys() - set(MAY_BE_EMPTY)))
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "empty"])
def test_a_setting_that_is_missing_is_refused_by_the_name_of_its_parameter(name, absent):
    environment = {**ENVIRONMENT, name: ""}
    if absent:
        del environment[name]

    with pytest.raises(ConfigurationError, match=f"^{name.title().replace('_', '')} "):
        Settings.from_env(environment)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "1e3", " 4", "٤", "²"])
def test_a_number_that_is_not_whole_and_positive_is_refused_by_the_name_of_its_parameter(name, value):
    with pytest.raises(ConfigurationError, match=f"{NUMBERS[name]} must be a whole number from 1, not '{value}'"):
        read(**{name: value})


@pytest.mark.parametrize("name", ["DAILY_IMAGE_LIMIT", "DAILY_IMAGE_LIMIT_PER_CALLER", "REQUESTS_PER_MINUTE"])
def test_a_limit_may_be_zero_and_no_less(name):
    assert getattr(read(**{name: "0"}), name.lower()) == 0
    with pytest.raises(ConfigurationError, match=f"{name.title().replace('_', '')} must be a whole number from 0"):
        read(**{name: "-1"})


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1",
        "https://host",
        "https://host/a/b/",
        "http://[::1]:8080/v1",
        "https://gateway.ai.cloudflare.com/v1/account/gateway/openai",
    ],
)
def test_a_base_url_of_any_host_and_path_is_taken(url):
    assert read(PROVIDER_BASE_URL=url).provider_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://name.openai.azure.com/openai/v1",
        "https://name.openai.azure.com/openai?api-version=2025-04-01-preview",
        "https://name.openai.azure.com/openai/deployments/images?api-version=2025-04-01-preview",
        "https://name.openai.azure.com/openai/v1?api-version=preview",
        f"https://name.openai.azure.com/openai?api-version={'1' * 40}",
    ],
    ids=["new form", "old form", "old form of a deployment", "new form with a version", "long version"],
)
def test_a_base_url_may_end_in_the_version_that_azure_wants(url):
    assert read(PROVIDER_BASE_URL=url).provider_base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "api.openai.com/v1",
        "ftp://host/v1",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://ann:test@host/v1",
        "https://host/v1?key=1",
        "https://host/v1?api-version=1&key=2",
        "https://host/v1?key=2&api-version=1",
        "https://host/v1?api-version=",
        "https://host/v1?api-version=%31",
        "https://host/v1?api-version=1#part",
        "https://host/v1#part",
        f"https://host/v1?api-version={'1' * 41}",
    ],
    ids=[
        "no scheme",
        "ftp",
        "file",
        "nothing behind the scheme",
        "no host",
        "user",
        "query",
        "more behind the version",
        "more before the version",
        "empty version",
        "escaped version",
        "part behind the version",
        "part",
        "endless version",
    ],
)
def test_a_base_url_that_is_none_is_refused_by_the_name_of_its_parameter(url):
    with pytest.raises(ConfigurationError, match="ProviderBaseUrl must be like https://"):
        read(PROVIDER_BASE_URL=url)


def test_a_base_url_with_half_an_ipv6_address_is_refused_by_the_name_of_its_parameter():
    with pytest.raises(ConfigurationError, match="ProviderBaseUrl"):
        read(PROVIDER_BASE_URL="http://[::1/v1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("UPLOAD_VARIATIONS", "11"), ("DEFAULT_SIZE", "large"), ("DEFAULT_SIZE", "4000x4000"), ("DEFAULT_SIZE", "9x9")],
    ids=["eleven variations", "size in words", "size too large", "size too small"],
)
def test_defaults_that_no_request_may_have_are_refused_by_the_name_of_their_parameter(name, value):
    with pytest.raises(ConfigurationError, match=f"^{name.title().replace('_', '')} is wrong: .*{value}"):
        read(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("UPLOAD_VARIATIONS", "1", 1),
        ("UPLOAD_VARIATIONS", "10", 10),
        ("DEFAULT_SIZE", "auto", "auto"),
        ("DEFAULT_SIZE", "3840x2160", "3840x2160"),
    ],
)
def test_defaults_that_a_request_may_have_are_taken(name, value, read_as):
    assert getattr(read(**{name: value}), name.lower()) == read_as


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        read().max_attempts = 100
