"""What the AWS CLI makes of the commands in docs/, on boto3.

The real one is 160 MB and takes more than a second to start (measured with 1.46), and the documents use it some hundred
times. This one lives in the tests' process; in the shell a function of five lines stands for it.
"""

import json
import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path

import jmespath
from botocore import xform_name

SERVICES = {"s3api": "s3"}  # as the CLI and as boto3 call them
# Bash speaks to the port by itself: the folder, then each argument, each ended by a NUL.
SHELL = """
aws() {{
    local code
    {{
        printf '%s\\0' "$#" "$PWD" "$@" >&3
        IFS= read -r code <&3
        if [ "$code" = 0 ]; then cat <&3; else cat <&3 >&2; fi
    }} 3<>/dev/tcp/127.0.0.1/{port}
    return "$code"
}}
"""


class AwsCli:
    """The commands that docs/ need; what it does not know is an error."""

    def __init__(self, client):
        self._client = client
        self.uploaded = []  # the keys of `aws s3 cp`

    def run(self, folder, service, operation, *arguments):
        """Return what a command prints; whatever goes wrong is raised."""
        places, options = sorted_out(arguments)
        query, output = options.pop("query", [None])[0], options.pop("output", ["json"])[0]
        if service == "s3":
            return getattr(self, f"_{operation}")(Path(folder), *places, **options)
        assert not places, f"{places} belong to no option"
        client = self._client(SERVICES.get(service, service))
        paginated = options.pop("no-paginate", None) is None and client.can_paginate(operation.replace("-", "_"))
        name = client.meta.method_to_api_mapping[operation.replace("-", "_")]
        shape = client.meta.service_model.operation_model(name).input_shape
        parameters = dict(understood(shape, option, texts) for option, texts in options.items())
        if paginated:
            answer = client.get_paginator(operation.replace("-", "_")).paginate(**parameters).build_full_result()
        else:
            answer = getattr(client, operation.replace("-", "_"))(**parameters)
        answer.pop("ResponseMetadata", None)
        shown = jmespath.search(query, answer) if query else answer
        return "\n".join([*in_lines(shown), ""]) if output == "text" else json.dumps(shown, default=str)

    def _cp(self, folder, source, target, recursive=None, metadata=("",)):
        if recursive is not None:
            return self._sync(folder, source, target)
        bucket, _, key = target.removeprefix("s3://").partition("/")
        key = f"{key}{Path(source).name}" if key.endswith("/") else key
        said = dict(part.split("=", 1) for part in metadata[0].split(",") if part)
        self._client("s3").put_object(Bucket=bucket, Key=key, Body=(folder / source).read_bytes(), Metadata=said)
        self.uploaded.append(key)
        return f"upload: {source} to {target}\n"

    def _sync(self, folder, source, target):
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        s3, downloaded = self._client("s3"), []
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                path = folder / target / entry["Key"].removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
                downloaded.append(f"download: {path}\n")
        return "".join(downloaded)

    def _rb(self, _, bucket):
        self._client("s3").delete_bucket(Bucket=bucket.removeprefix("s3://"))
        return ""


def sorted_out(arguments):
    """Return what stands before and between the options, and each option's values."""
    places, options, values = [], {}, None
    for argument in arguments:
        if argument.startswith("--"):
            values = options.setdefault(argument.removeprefix("--"), [])
        else:
            (places if values is None else values).append(argument)
    if "recursive" in options:  # it takes no value
        places, options["recursive"] = [*places, *options["recursive"]], []
    return places, options


def understood(shape, option, texts):
    """Return the parameter's name and value that an option stands for."""
    members = {xform_name(name, "-"): name for name in shape.members}
    on = option in members
    name = members[option if on else option.removeprefix("no-")]
    member = shape.members[name]
    if member.type_name == "boolean":
        return name, on
    text = Path(texts[0].removeprefix("file://")).read_text() if texts[0].startswith("file://") else texts[0]
    if member.type_name in {"integer", "long"}:
        return name, int(text)
    if member.type_name in {"structure", "map", "list"} and text[0] in "[{":
        return name, json.loads(text)
    if member.type_name == "list":
        structures = member.member.type_name == "structure"
        return name, [dict(part.split("=", 1) for part in text.split(",")) if structures else text for text in texts]
    if member.type_name == "timestamp":
        return name, int(text)
    assert member.type_name == "string", f"--{option}: {member.type_name} is not understood"
    return name, text


def in_lines(value):
    """Yield the lines of `--output text`: a list of texts is one, with tabs."""
    if isinstance(value, list) and any(isinstance(part, list) for part in value):
        for part in value:
            yield from in_lines(part)
    elif isinstance(value, dict):
        yield from in_lines(list(value.values()))
    else:
        yield "\t".join(str(part) for part in (value if isinstance(value, list) else [value]))


@contextmanager
def in_the_shell(cli):
    """Serve a CLI on a port of 127.0.0.1; yields the shell function that asks it."""

    class Command(socketserver.StreamRequestHandler):
        def word(self):
            text = b""
            while (byte := self.rfile.read(1)) != b"\0":
                assert byte, "the shell hung up"
                text += byte
            return text.decode()

        def handle(self):
            count = int(self.word())
            folder, *arguments = (self.word() for _ in range(count + 1))
            try:
                code, text = 0, cli.run(folder, *arguments)
            except Exception as error:
                code, text = 255, f"aws {' '.join(arguments[:2])}: {error!r}\n"
            self.wfile.write(f"{code}\n{text}".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Command) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield SHELL.format(port=server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
