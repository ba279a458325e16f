"""GET /v1/jobs through the real handlers: a caller's own jobs, page by page."""

from variations import wiring

from tests.integration.conftest import picture

LATER = {"Prefer": "respond-async"}


def ids(answered):
    assert answered.status == 200, answered.text
    return [job["id"] for job in answered.json["data"]]


def ask(api, count, **who):
    """Ask for forms; return the ids of their jobs, the newest first."""
    return [api.upload_form(**who).json["job_id"] for _ in range(count)][::-1]


def pages(api, **query):
    """Read the list as OpenAI's SDKs do, until there is no more of it."""
    found = [api.jobs(**query).json]
    while found[-1]["has_more"]:
        found.append(api.jobs(after=found[-1]["last_id"], **query).json)
        assert found[-1]["first_id"] != found[0]["first_id"]
    return found


def listed(api, job_id):
    (found,) = [job for job in api.jobs().json["data"] if job["id"] == job_id]
    return found


# Pages


def test_a_caller_without_jobs_has_an_empty_list(api):
    answered = api.jobs()

    assert answered.status == 200
    assert answered.json == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_jobs_of_one_and_the_same_moment_are_each_on_one_page(api, aws):
    asked = ask(api, 45)

    found = pages(api)

    assert [len(page["data"]) for page in found] == [20, 20, 5]
    assert [job["id"] for page in found for job in page["data"]] == sorted(asked, reverse=True)
    assert len({job["created"] for page in found for job in page["data"]}) == 1
    for page in found:
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    # moto sorts items of equal keys, DynamoDB does not; so there are none.
    indexed = aws.dynamodb.scan(TableName="jobs-table", IndexName="by-caller")["Items"]
    assert len({item["listed_at"]["S"] for item in indexed}) == 45


def test_the_newest_job_comes_first_also_within_a_second(api):
    asked = []
    for _ in range(8):
        asked[:0] = ask(api, 1)
        api.hours.now += 0.4

    assert ids(api.jobs()) == asked
    assert [job["id"] for page in pages(api, limit="3") for job in page["data"]] == asked


def test_jobs_that_come_in_while_somebody_turns_pages_shift_nothing(api):
    asked = ask(api, 4)
    first = api.jobs(limit="2").json
    api.hours.now += 1
    ask(api, 3)

    second = ids(api.jobs(limit="2", after=first["last_id"]))

    assert sorted([job["id"] for job in first["data"]] + second) == sorted(asked)


def test_a_last_page_that_is_full_has_no_more(api):
    ask(api, 4)

    assert [len(page["data"]) for page in pages(api, limit="2")] == [2, 2]


def test_nothing_comes_after_the_last_job(api):
    ask(api, 3)
    last = api.jobs().json["last_id"]

    assert api.jobs(after=last).json == api.jobs(caller="nobody").json


def test_a_page_has_as_many_jobs_as_are_asked_for(api):
    ask(api, 3)

    for limit, count in {"1": 1, "2": 2, "3": 3, "100": 3, "": 3}.items():
        assert len(ids(api.jobs(limit=limit))) == count


def test_a_page_is_one_read_of_its_own_jobs_and_one_more(api):
    ask(api, 4)
    reads = []
    events = wiring.history().table.client.meta.events
    events.register("provide-client-params.dynamodb.Query", lambda params, **_: reads.append(params["Limit"]))

    pages(api, limit="2")

    assert reads == [3, 3]


def test_a_limit_out_of_bounds_is_named(api):
    for limit in ("0", "101", "-1", "1.5", "ten", "1e2", "99999", "5 5"):
        refused = api.jobs(limit=limit)

        assert (refused.status, refused.error["code"]) == (400, "invalid_request"), limit
        assert refused.error["param"] == "limit"


def test_after_an_unknown_job_there_is_no_page_and_after_anothers_neither(api):
    ask(api, 1)
    (theirs,) = ask(api, 1, caller="shop")
    unknown = "0" * 32

    refused, anothers = api.jobs(after=unknown), api.jobs(after=theirs)

    assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "invalid_request", "after")
    assert anothers.text.replace(theirs, unknown) == refused.text
    assert anothers.status == 400


# Whose jobs


def test_a_caller_sees_its_own_jobs_alone(api):
    mine, theirs = ask(api, 3), ask(api, 2, caller="shop")

    assert sorted(ids(api.jobs())) == sorted(mine)
    assert sorted(ids(api.jobs(caller="shop"))) == sorted(theirs)
    assert ids(api.jobs(caller="sho")) == ids(api.jobs(caller="shop2")) == []


def test_what_is_no_job_of_an_api_caller_is_not_even_on_the_index(api, aws, environment):
    environment.setenv("REQUESTS_PER_MINUTE", "9")
    environment.setenv("DAILY_IMAGE_LIMIT", "9")
    aws.upload("uploads/cup.jpg", picture())
    request = '{"source": "s3://uploads-bucket/uploads/cup.jpg", "n": 1}'
    aws.sqs.send_message(QueueUrl=aws.queue_url, MessageBody=request)
    asked = api.create(headers=LATER).json["job_id"]
    api.work()

    records = aws.dynamodb.scan(TableName="jobs-table")["Items"]
    indexed = aws.dynamodb.scan(TableName="jobs-table", IndexName="by-caller")["Items"]

    assert len(records) >= 5  # two jobs, a claim, counts of requests and of images
    assert [item["job_id"]["S"] for item in indexed] == [asked]
    assert ids(api.jobs(caller="sqs:request")) == ids(api.jobs(caller="s3:upload")) == []


# What it tells


def test_a_job_is_listed_at_once_and_as_it_was_asked_for(api):
    asked = api.create(headers=LATER, n=2, prompt="At dawn.", size="512x512").json["job_id"]

    assert api.jobs().json["data"] == [
        {
            "id": asked,
            "object": "image.variations.job",
            "status": "queued",
            "created": 1_795_305_600,
            "model": "local-style-transfer",
            "n": 2,
            "prompt": "At dawn.",
            "size": "512x512",
            "error": None,
        }
    ]


def test_what_was_not_asked_for_is_the_stacks_default_or_left_out(api):
    asked = api.create(headers=LATER).json["job_id"]

    job = listed(api, asked)

    assert (job["n"], job["size"]) == (1, "256x256")
    assert not {"prompt", "filename"} & job.keys()


def test_a_picture_that_lies_in_s3_is_called_by_the_last_part_of_its_key(api, aws):
    aws.upload("shoes/left one.jpg", picture())
    form = api.upload_form(filename="my cup ü.png").json["job_id"]
    named = api.create("s3://uploads-bucket/shoes/left one.jpg", headers=LATER).json["job_id"]

    assert listed(api, form)["filename"] == "my cup ü.png"
    assert listed(api, named)["filename"] == "left one.jpg"


def test_the_list_follows_a_job_to_its_end(api):
    asked = api.create(headers=LATER).json["job_id"]
    order = wiring.jobs().get(asked).order

    states = [listed(api, asked)["status"]]
    job = wiring.jobs().begin(order, lease_seconds=60)
    states.append(listed(api, asked)["status"])
    wiring.jobs().release(job)
    states.append(listed(api, asked)["status"])
    api.work()
    states.append(listed(api, asked)["status"])

    assert states == ["queued", "running", "queued", "succeeded"]
    assert ids(api.jobs()) == [asked]


def test_a_failed_job_is_listed_with_its_code_and_a_partial_one_without(api, image_server):
    failed = api.create(b"This is a text.", headers=LATER).json["job_id"]
    image_server.fault(body="fewer")
    partial = api.create(headers=LATER, n=3).json["job_id"]
    api.work()

    assert (listed(api, failed)["status"], listed(api, failed)["error"]) == ("failed", {"code": "unsupported_image"})
    assert (listed(api, partial)["status"], listed(api, partial)["error"]) == ("partial", None)


def test_a_list_needs_nothing_from_s3(api, aws):
    asked = api.create(headers=LATER).json["job_id"]
    api.work()
    for key in aws.results():
        aws.s3.delete_object(Bucket="results-bucket", Key=key)

    assert listed(api, asked)["status"] == "succeeded"


def test_listing_a_job_delivers_nothing(api):
    asked = api.create(headers=LATER).json["job_id"]
    api.work()
    api.jobs()

    assert wiring.jobs().get(asked).delivered_at is None
    assert api.create().json["job_id"] == asked


def test_prompts_that_no_answer_could_hold_together_are_listed_by_their_beginning(api):
    prompt = "🎨" * 32_000
    for _ in range(10):  # 1.28 MB, of which DynamoDB hands out one at a time
        api.upload_form(prompt=prompt)

    answered = api.jobs(limit="10")

    assert [job["prompt"] for job in answered.json["data"]] == ["🎨" * 1000] * 10
    assert answered.json["has_more"] is False


# How long


def test_a_job_whose_record_has_expired_is_not_listed(api):
    ask(api, 2)
    api.hours.now += 30 * 86_400 - 1
    assert len(ids(api.jobs())) == 2
    (new,) = ask(api, 1)

    api.hours.now += 1

    assert ids(api.jobs()) == [new]


def test_records_that_have_expired_leave_no_gap_in_a_page(api, aws):
    asked = []
    for _ in range(6):
        asked[:0] = ask(api, 1)
        api.hours.now += 1
    for job_id in asked[:3]:  # DynamoDB has not come to delete them yet
        aws.dynamodb.update_item(
            TableName="jobs-table",
            Key={"job_id": {"S": job_id}},
            UpdateExpression="SET expires_at = :now",
            ExpressionAttributeValues={":now": {"N": str(int(api.hours.now))}},
        )

    assert [[job["id"] for job in page["data"]] for page in pages(api, limit="2")] == [asked[3:5], asked[5:]]
