"""Behind a real nginx with TLS, under /i2t/: the page, the API, event streams, large uploads, limits, and one log."""

import http.client
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from app.config import Settings
from tests.app.api.test_native import SMALL
from tests.deploy.nginx import CONFIGURATION, Nginx
from tests.fakes import wait_until
from tests.server import ROOT, Server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(
        tmp_path_factory.mktemp("server"),
        command=[sys.executable, "-m", "tests.odd"],
        pythonpath=ROOT,
        trusted_proxies="127.0.0.1",
        # nginx limits what an address may ask for.
        rate_limit="none",
        log_format="json",
    )
    yield running
    running.kill()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, service: Server) -> Iterator[Nginx]:
    running = Nginx(tmp_path_factory.mktemp("nginx"), service.url.removeprefix("http://"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def client(nginx: Nginx) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # A bundle of certificates that the environment names would win.
        session.trust_env = False
        session.verify = str(nginx.certificate)
        yield session


def test_plain_http_leads_to_tls(nginx: Nginx) -> None:
    answer = requests.get(f"http://127.0.0.1:{nginx.http}/i2t/?a=b", allow_redirects=False, timeout=30)
    assert answer.status_code == 301
    assert answer.headers["Location"] == "https://127.0.0.1/i2t/?a=b"


def test_the_page_with_all_its_files_works_under_the_prefix(nginx: Nginx, client: requests.Session) -> None:
    for page in ("/", "/docs/"):
        answer = client.get(nginx.url + page)
        assert answer.ok
        addresses = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
        assert addresses
        for address in addresses:
            found = urljoin(f"{nginx.url}{page}", address)
            assert found.startswith(nginx.url)
            assert client.get(found).ok, found
    assert client.get(f"{nginx.url}/openapi.json").json()["servers"] == [{"url": "/i2t"}]
    without_slash = client.get(nginx.url, allow_redirects=False)
    assert without_slash.headers["Location"].endswith("/i2t/")


def test_the_api_works_under_the_prefix_and_pages_of_it_may_post(nginx: Nginx, client: requests.Session) -> None:
    sign = (ROOT / "Input" / "sign.jpg").read_bytes()
    origin = "https://" + urlsplit(nginx.url).netloc
    answer = client.post(
        f"{nginx.url}/generate-text?model=rapidocr", data=sign, headers={"Origin": origin, "Content-Type": "image/jpeg"}
    )
    assert answer.status_code == 200, answer.text
    assert "PLATFORM 4" in answer.json()["text"]
    assert client.get(f"{nginx.url}/{answer.json()['image']['saved_as']}").content == sign
    foreign = client.post(f"{nginx.url}/generate-text", data=sign, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


def test_events_come_one_by_one(nginx: Nginx, client: requests.Session) -> None:
    with client.post(
        f"{nginx.url}/generate-text?model=odd&prompt=sleep 2",
        data=SMALL,
        headers={"Accept": "text/event-stream", "Content-Type": "image/png"},
        stream=True,
    ) as answer:
        lines = ((line, time.monotonic()) for line in answer.iter_lines(chunk_size=1))
        arrived = [(line.removeprefix(b"event: "), at) for line, at in lines if line.startswith(b"event: ")]
    assert arrived[0][0] in (b"queued", b"progress")
    assert arrived[-1][0] == b"result"
    assert arrived[-1][1] - arrived[0][1] > 1.5, "they were held back until the end"


def test_an_upload_of_200_megabytes_gets_through_and_more_does_not(nginx: Nginx, client: requests.Session) -> None:
    # Viewers do not mind what follows a picture.
    largest = SMALL + bytes(200_000_000 - len(SMALL))
    url, picture = f"{nginx.url}/generate-text?model=efficientnet-gru", {"Content-Type": "image/png"}
    answer = client.post(url, data=largest, headers=picture)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"]

    # nginx says so before it takes anything in.
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.netloc, context=ssl.create_default_context(cafile=nginx.certificate), timeout=30
    )
    connection.putrequest("POST", f"{parts.path}?{parts.query}")
    connection.putheader("Content-Length", "300000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("given", [None, "from-the-client.7"])
def test_both_logs_share_the_request_id(
    nginx: Nginx, service: Server, client: requests.Session, given: str | None
) -> None:
    answer = client.get(f"{nginx.url}/models?secret", headers={"X-Request-ID": given} if given else {})
    request_id = answer.headers["X-Request-ID"]
    assert re.fullmatch(given or "[0-9a-f]{32}", request_id)
    wait_until(lambda: request_id in nginx.log)
    (theirs,) = (line for line in nginx.log.splitlines() if line.endswith(request_id))
    assert " GET /i2t/models 200 " in theirs
    assert "secret" not in nginx.log
    service.wait_for_log(request_id)
    records: list[dict[str, Any]] = [json.loads(line) for line in service.log.splitlines()]
    (ours,) = (record for record in records if record.get("request_id") == request_id)
    assert (ours["path"], ours["status"]) == ("/models", 200)


def test_what_the_service_would_not_keep_nginx_does_not_keep(nginx: Nginx, client: requests.Session) -> None:
    answer = client.get(f"{nginx.url}/models", headers={"X-Request-ID": "not an id"})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])
    wait_until(lambda: answer.headers["X-Request-ID"] in nginx.log)


def test_metrics_are_not_for_everyone(nginx: Nginx, service: Server, client: requests.Session) -> None:
    assert client.get(f"{nginx.url}/metrics").status_code == 404
    assert service.get("/metrics").ok


def test_an_address_that_asks_too_often_is_told_so(nginx: Nginx, client: requests.Session) -> None:
    statuses = []
    end = time.monotonic() + 30
    # A burst of 100 is fine, and then ten a second.
    while 429 not in statuses:
        statuses.append(client.get(f"{nginx.url}/healthz").status_code)
        assert time.monotonic() < end, len(statuses)
    assert set(statuses) == {200, 429}


def test_the_configuration_is_for_the_upload_limit_of_the_service() -> None:
    allowed = re.search(r"client_max_body_size (\d+)m;", CONFIGURATION.read_text(encoding="utf-8"))
    assert allowed
    assert int(allowed[1]) * 2**20 >= Settings().max_body_bytes
