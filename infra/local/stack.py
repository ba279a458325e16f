"""Bring the whole stack up on this machine, and take it down again: `python -m infra.local.stack up|down`.

Everything it starts listens on 127.0.0.1 only and is recorded below one folder (.local by default), so several
checkouts can run side by side. PROVIDER_BASE_URL, PROVIDER_API_KEY, PROVIDER_DIALECT and DEFAULT_MODEL in the
environment point the stack at another provider than the embedded image server.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.build import ROOT
from infra.local.deploy import deploy
from infra.local.processes import Process, StackError, free_port

LOCAL_KEY = "sk-local"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
OVERRIDES = {  # environment variable -> template parameter
    "PROVIDER_BASE_URL": "ProviderBaseUrl",
    "PROVIDER_API_KEY": "ProviderApiKey",
    "PROVIDER_DIALECT": "ProviderDialect",
    "DEFAULT_MODEL": "DefaultModel",
}


@dataclass(frozen=True)
class LocalStack:
    """One local stack, with everything it needs to remember below `folder`."""

    folder: Path

    @property
    def emulator(self) -> Process:
        """Return the AWS emulator."""
        return Process(self.folder / "run", "emulator")

    @property
    def image_server(self) -> Process:
        """Return the embedded image server."""
        return Process(self.folder / "run", "image-server")

    @property
    def description(self) -> Path:
        """Return the file that tells where everything is."""
        return self.folder / "stack.json"

    def up(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Start what does not run yet, and deploy template.yaml as it is now.

        Args:
            parameters: template parameters that win over those of the embedded image server.

        Returns:
            What `stack.json` holds.

        Raises:
            StackError: something is missing or did not start.
        """
        provider_url = self._start_image_server()
        chosen = {"ProviderBaseUrl": provider_url, "ProviderApiKey": LOCAL_KEY, "DefaultModel": "local-style-transfer"}
        chosen |= {"DailyImageLimit": "0", "RequestsPerMinute": "0"}  # as nothing is paid for here
        chosen |= {"Studio": "yes"}
        # Kept apart per Python, as they hold compiled packages; shared by all stacks of this checkout.
        build_folder = ROOT / ".local" / "build" / VERSION
        stack = deploy(self._start_emulator(), build_folder, {**chosen, **parameters})
        stack["image_server_url"] = provider_url.removesuffix("/v1")
        self.description.write_text(json.dumps(stack, indent=2) + "\n")
        return stack

    def down(self) -> None:
        """End both processes, and delete what they left on the disk; logs stay."""
        self.emulator.stop()
        self.image_server.stop()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        self.description.unlink(missing_ok=True)

    def _start_emulator(self) -> str:
        if self.emulator.is_running() and self.description.exists():
            endpoint: str = json.loads(self.description.read_text())["aws_endpoint"]
            return endpoint
        self.emulator.stop()
        python = ROOT / ".local" / "env" / VERSION / "emulator" / "bin" / "python"
        if not (python.parent / "ministack").exists():
            raise StackError(f"The emulator is not installed for Python {VERSION}. `make up` installs it.")
        port, scratch = free_port(), self.folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        endpoint = f"http://127.0.0.1:{port}"
        # A clean environment, as functions inherit it: on AWS they would not see this machine's either.
        environment = {
            "PATH": f"{python.parent}:/usr/bin:/bin",
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "LANG": "C.UTF-8",
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "AUTH": "true",  # permissions are enforced, as on AWS
            "AWS_ENDPOINT_URL": endpoint,  # or custom runtimes would talk to the real AWS
        }
        self.emulator.start([str(python), str(ROOT / "infra/local/emulator.py")], environment)
        self.emulator.wait_until_healthy(f"{endpoint}/_ministack/health")
        return endpoint

    def _start_image_server(self) -> str:
        if self.image_server.is_running() and self.description.exists():
            url: str = json.loads(self.description.read_text())["image_server_url"]
            return f"{url}/v1"
        self.image_server.stop()
        port = free_port()
        command = [sys.executable, "-m", "infra.local.image_server", "--port", str(port), "--key", LOCAL_KEY]
        self.image_server.start(command, {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"})
        self.image_server.wait_until_healthy(f"http://127.0.0.1:{port}/health")
        return f"http://127.0.0.1:{port}/v1"


def parameters_from(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the template parameters that the environment overrides."""
    return {parameter: environ[name] for name, parameter in OVERRIDES.items() if environ.get(name)}


def main() -> None:
    """Run `up` or `down` from the command line."""
    parser = argparse.ArgumentParser(description="The whole stack on this machine.")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--folder", type=Path, default=ROOT / ".local")
    options = parser.parse_args()
    stack = LocalStack(options.folder.resolve())
    try:
        if options.action == "down":
            stack.down()
            print("The local stack is down.")
            return
        described = stack.up(parameters_from(os.environ))
    except (StackError, BotoCoreError, ClientError) as error:
        sys.exit(f"{error}")
    print(f"The local stack is up. {stack.description} says where everything is.")
    print(f"  OpenAI SDK: base_url={described['api_url']} api_key={described['api_key']}")
    print(f"  Studio:     {described['studio_url']}")


if __name__ == "__main__":
    main()
