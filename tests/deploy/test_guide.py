"""What docs/deploy.md says for a laptop, a home server and nginx is done, command by command, on a machine of the
test's own (`tests/deploy/machine.py`)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.deploy.guide import GUIDE, SIGN, blocks, follow_laptop, section
from tests.deploy.machine import Machine
from tests.server import ROOT


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "machine")
    yield made
    made.stop()


def test_a_laptop(machine: Machine) -> None:
    assert follow_laptop(machine, seconds=120) == SIGN


def test_a_home_server_and_nginx_before_it(machine: Machine) -> None:
    install, configure, ask = blocks("A home server, without containers")
    machine.run(install)
    machine.run(configure)
    settings = machine.root / "etc/image-to-text.env"
    assert settings.stat().st_mode & 0o777 == 0o600
    answer = machine.run(ask)
    assert '"status":"ready"' in answer
    assert answer.endswith(SIGN)
    service = f"http://127.0.0.1:{machine.port}"
    assert requests.get(f"{service}/models", timeout=30).status_code == 401
    assert list((machine.root / "var/lib/image-to-text/images").glob("*.jpg"))
    assert "listening on http://0.0.0.0:" in machine.logs()

    before, look = blocks("Behind nginx")
    machine.run(before)
    assert '"status":"ready"' in machine.run(look)
    assert settings.read_text(encoding="utf-8").splitlines()[0] == "HOST=127.0.0.1"
    assert "listening on http://127.0.0.1:" in machine.logs()
    assert " GET /i2t/readyz 200 " in machine.logs()


def test_what_is_not_run_says_so() -> None:
    for title in re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)[:-1]:
        text = section(title)
        says_so = "*not run by the project's tests" in text.lower()
        assert ("```bash" in text) != says_so, title


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
    titles = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= anchors
