"""The stack, pointed at another provider by nothing but its address, makes pictures there."""

import io

import openai
import pytest
from PIL import Image

from infra.local.demo import EXAMPLE
from infra.local.stack import parameters_from
from tests.contract import simulated
from tests.contract.simulated import serve


@pytest.fixture
def point_at(stack):
    """Deploy the stack again as `make up` does with these variables set; the next test finds it as it was."""

    def point_at(server):
        variables = {
            "PROVIDER_BASE_URL": server.base_url,
            "PROVIDER_API_KEY": server.key,
            "DEFAULT_MODEL": server.MODEL,
        }
        stack.reload(**parameters_from(variables))

    yield point_at
    stack.reload()


@pytest.mark.parametrize(
    ("family", "dialect"),
    [
        pytest.param(simulated.LiteLLM, "edits", id="LiteLLM"),
        pytest.param(simulated.LocalAI, "localai", id="LocalAI"),
        pytest.param(simulated.StableDiffusionCpp, "edits_local", id="stable-diffusion.cpp"),
        pytest.param(simulated.VariationsOnly, "variations", id="a server of the retired route"),
    ],
)
def test_the_stack_makes_pictures_at_any_family_of_providers(stack, point_at, family, dialect):
    with serve(family) as server:
        point_at(server)

        manifest = stack.vary(f"at-{dialect}.jpg", EXAMPLE.read_bytes(), n="3", size="512x512", quality="hd")

        assert (manifest["state"], manifest["dialect"]) == ("succeeded", dialect), manifest["error"]
        assert [image.size for image in stack.pictures(manifest)] == [(512, 512)] * 3
        assert len({result["sha256"] for result in manifest["results"]}) == 3
        assert server.paid == 1
        assert server.text_to_image == 0
        with openai.OpenAI(base_url=stack["api_url"], api_key=stack["api_key"], max_retries=0) as client:
            listed = {model.id: model.image["dialect"] for model in client.models.list()}
            assert listed[server.MODEL] == ("edits" if dialect == "variations" else dialect), (
                "as far as a list can tell"
            )
            with pytest.warns(DeprecationWarning, match="deprecated"):
                answer = client.images.create_variation(image=small(), size="256x256")
            assert len(answer.data) == 1


def small():
    buffer = io.BytesIO()
    Image.open(EXAMPLE).resize((120, 80)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_provider_that_cannot_says_so_on_the_manifest_and_nothing_is_sent_there(stack, point_at):
    with serve(simulated.Ollama) as server:
        point_at(server)

        manifest = stack.vary("ollama.jpg", EXAMPLE.read_bytes())

        assert (manifest["state"], manifest["error"]["code"]) == ("failed", "configuration_error")
        assert "Ollama" in manifest["error"]["message"]
        assert server.calls == []
