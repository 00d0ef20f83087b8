"""What the documents say is so: settings, routes, and every command in the README and in examples/."""

import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from app import create_app
from app.config import Settings
from models.discovery import discover
from tests.conftest import INPUT
from tests.server import NETWORKS, ROOT, Server

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENTS = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
ENV_EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SETTINGS = sorted(name.upper() for name in Settings.model_fields)


@pytest.fixture(scope="module")
def pictures_at() -> Iterator[str]:
    """A web server with the sample images; `/photo.jpg` is one of them."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(INPUT))

        def translate_path(self, path: str) -> str:
            return super().translate_path(path.replace("photo.jpg", "sign.jpg"))

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory: pytest.TempPathFactory, pictures_at: str) -> Iterator[Server]:
    """A service as a new user has it, that may fetch the sample images."""
    running = Server(tmp_path_factory.mktemp("server"), fetch_allow_hosts=pictures_at)
    yield running
    running.kill()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command: list[str], server: Server, pictures_at: str) -> str:
    """Run a command in the project's directory, with this server and these pictures in place of the documented ones."""
    host = server.url.removeprefix("http://")
    # What a command writes (note.pdf) belongs into the test's directory.
    here = [
        part.replace("-o note.pdf", f"-o {server.directory}/note.pdf")
        .replace("localhost:5000", host)
        .replace("https://example.org", f"http://{pictures_at}")
        for part in command
    ]
    result = subprocess.run(here, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("block", [block for block in blocks("bash") if "curl" in block])
def test_curl_in_the_readme(block: str, plain_server: Server, pictures_at: str) -> None:
    printed = run(["bash", "-c", block.replace("curl ", "curl -sS --fail-with-body ")], plain_server, pictures_at)
    shown = ("Larkfield Paper Company", "PLATFORM 4", "tomatoes", '"model":"efficientnet-gru"', "Input/sign.jpg\t")
    assert any(words in printed for words in shown)


def test_the_command_line_in_the_readme(
    plain_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from app.cli.main import main

    (block,) = [block for block in blocks("bash") if block.startswith("i2t ")]
    (tmp_path / "Input").symlink_to(INPUT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETWORK_CACHE", str(NETWORKS))
    for line in block.strip().replace("http://localhost:5000", plain_server.url).splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    assert len((tmp_path / "captions.jsonl").read_bytes().splitlines()) == 5
    assert "tomatoes" in (tmp_path / "texts" / "note.png.txt").read_text(encoding="utf-8")
    assert capfd.readouterr().out.splitlines()[-1] == "Input/sign.jpg"


def test_the_first_example_prints_what_the_readme_says(plain_server: Server, pictures_at: str) -> None:
    command, _, shown = blocks("console")[0].partition("\n")
    printed = run(["bash", "-c", command.removeprefix("$ ")], plain_server, pictures_at)
    text = re.search(r'"text":"[^"]*"', shown)
    assert text
    assert text[0] in printed


def test_python_in_the_readme(plain_server: Server, pictures_at: str) -> None:
    (block,) = blocks("python")
    assert "tomatoes" in run([sys.executable, "-c", block], plain_server, pictures_at)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([sys.executable, "examples/request_upload.py", "Input/invoice.png", "--model", "rapidocr"], "LP-20417"),
        ([sys.executable, "examples/client.py", "Input/sign.jpg"], "MIND THE STEP"),
        ([sys.executable, "examples/request_url.py", "https://example.org/photo.jpg", "--model", "rapidocr"], "STEP"),
        (["sh", "examples/curl.sh"], "MIND THE STEP"),
    ],
)
def test_examples(command: list[str], words: str, plain_server: Server, pictures_at: str) -> None:
    address = plain_server.url if command[0] == "sh" else f"--server={plain_server.url}"
    assert words in run([*command, address], plain_server, pictures_at)


def test_an_example_says_what_went_wrong(plain_server: Server) -> None:
    result = subprocess.run(
        [sys.executable, "examples/request_upload.py", "README.md", f"--server={plain_server.url}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("415: ")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in README
    assert re.search(rf"^# {name}=", ENV_EXAMPLE, re.MULTILINE)
    # In a container the directory of images is a volume with a place of its own.
    assert name == "IMAGES_DIR" or re.search(rf"^ +{name}:", COMPOSE, re.MULTILINE)


def test_the_example_of_settings_holds_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    documented = dict(re.findall(r"^# ([A-Z0-9_]+)=(.*)$", ENV_EXAMPLE, re.MULTILINE))
    assert sorted(documented) == SETTINGS
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    defaults = Settings()
    for name, value in documented.items():
        monkeypatch.setenv(name, value)
    assert Settings() == defaults


def test_every_route_is_documented() -> None:
    app = create_app(Settings(save_uploads=False))
    document = app.test_client().get("/openapi.json").get_json()
    for rule in app.url_map.iter_rules():
        path = rule.rule
        if path in ("/", "/openapi.json") or path.startswith(("/docs", "/static/")):
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            described = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path)
            assert method.lower() in document["paths"][described], f"{method} {path}"
            assert f"`{method} {path}`" in README + CLIENTS
    assert "`GET /docs`" in README
    rules = {rule.rule for rule in app.url_map.iter_rules() if not rule.rule.startswith("/static/")}
    assert len(document["paths"]) == len(rules) - 4


def test_every_model_and_option_is_documented() -> None:
    from app.api.options import NAMES

    for name in (*discover(), *NAMES):
        assert f"`{name}`" in README, name


def test_the_openapi_document_is_valid(server: Server) -> None:
    document = server.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_answers_match_their_schemas(server: Server) -> None:
    from jsonschema import Draft202012Validator

    document = server.get("/openapi.json").json()

    def check(schema: str, answer: Any) -> None:
        reference = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
        Draft202012Validator(reference).validate(answer)

    sign = (INPUT / "sign.jpg").read_bytes()
    check("Answer", server.generate(sign, model="rapidocr", tags="true").json())
    check("Answer", server.generate(sign, model="kosmos-2", max_new_tokens=3).json())
    check("TagAnswer", server.post("/generate-tags", json={"text": "a dog"}).json())
    check("ModelList", server.get("/models").json())
    check("ModelInfo", server.post("/models/blip-base/load").json())
    check("Health", server.get("/readyz").json())
    check("Problem", server.get("/nowhere").json())


def test_the_documentation_page_asks_nothing_of_other_sites(server: Server) -> None:
    page = server.get("/docs/")
    assert page.ok
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    for address in addresses:
        assert "//" not in address
        assert server.get(f"/docs/{address}").ok


def test_the_changelog_is_of_this_version() -> None:
    from app import __version__

    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in changes or f"## {__version__}" in changes


def test_a_setting_has_a_description() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_samples_are_listed() -> None:
    listing = (INPUT / "README.md").read_text(encoding="utf-8")
    for file in INPUT.iterdir():
        if file.suffix in (".png", ".jpg", ".py"):
            assert file.name in listing
