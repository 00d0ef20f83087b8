"""Keys, limits per client, and whom to believe behind a proxy; against the running server."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app.config import Settings, SettingsError
from app.setting_types import ApiKey
from tests.app.api.test_native import SMALL, assert_problem
from tests.fakes import wait_until
from tests.server import Server

KEY, OTHER = "a-key-of-this-test", "another=key/of,it=="


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a key in its environment and another in a file."""
    directory = tmp_path_factory.mktemp("locked")
    (directory / "keys").write_text(f"# of the second client\n{OTHER}\n\n")
    running = Server(
        directory, api_keys=f"{KEY}, third-key", api_keys_file="keys", cors_origins="https://friend.example"
    )
    yield running
    running.kill()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X-API-Key": KEY},
        {"X-API-Key": OTHER},
        {"Authorization": f"Bearer {OTHER}"},
        {"X-API-Key": "third-key"},
    ],
)
def test_a_key_opens(locked: Server, headers: dict[str, str]) -> None:
    assert locked.get("/models", headers=headers).ok


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": KEY.upper()},
        {"X-API-Key": f"{KEY}, third-key"},
        {"X-API-Key": "# of the second client"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {KEY}\u00e9".encode("latin-1").decode("latin-1")},
        {"Cookie": f"api_key={KEY}"},
    ],
)
def test_nothing_else_does(locked: Server, headers: dict[str, str]) -> None:
    response = locked.get("/models", headers=headers)
    assert_problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/generate-text"),
        ("POST", "/generate-tags"),
        ("GET", "/models"),
        ("POST", "/models/rapidocr/load"),
        ("GET", f"/images/{'a' * 64}.png"),
        ("DELETE", f"/images/{'a' * 64}.png"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/nowhere"),
        ("GET", f"/models?api_key={KEY}"),
        ("GET", "//images/x"),
        ("GET", "/static/../models"),
    ],
)
def test_everything_is_behind_the_key(locked: Server, method: str, path: str) -> None:
    request = requests.Request(method, locked.url).prepare()
    # As it is written: requests would tidy it up.
    request.url = locked.url + path
    with requests.Session() as session:
        status = session.send(request, timeout=30, allow_redirects=False).status_code
    # Below /static/ lie the page's files alone.
    assert status == (404 if path.startswith("/static/") else 401)


def test_what_is_open(locked: Server) -> None:
    assert locked.get("/healthz").ok
    assert locked.get("/readyz").ok
    assert locked.get("/", allow_redirects=False).status_code < 400
    asks = requests.options(
        f"{locked.url}/generate-text",
        headers={
            "Origin": "https://friend.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-API-Key",
        },
        timeout=30,
    )
    assert asks.ok
    assert asks.headers["Access-Control-Allow-Headers"].lower() == "x-api-key"


def test_a_key_is_in_no_log(locked: Server) -> None:
    locked.get("/models", headers={"X-API-Key": KEY})
    locked.get("/models", headers={"X-API-Key": "guessed-wrongly"})
    assert KEY not in locked.log
    assert "guessed" not in locked.log


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("3f9c", ApiKey("3f9c")),
        ("scanner:3f9c", ApiKey("3f9c", "scanner")),
        ("scanner:a:b", ApiKey("a:b", "scanner")),
        ("a.b_c-d:3f9c  60/minute", ApiKey("3f9c", "a.b_c-d", "60/minute")),
        ("scanner:3f9c 5/second;100/day 4", ApiKey("3f9c", "scanner", "5/second;100/day", 4)),
        ("scanner:3f9c 0 none", ApiKey("3f9c", "scanner", "", 0)),
        ("scanner:3f9c auto", ApiKey("3f9c", "scanner")),
    ],
)
def test_a_line_of_keys(line: str, expected: ApiKey) -> None:
    assert ApiKey.of_line(line) == expected
    assert "3f9c" not in repr(expected)


@pytest.mark.parametrize(
    "line",
    [
        "3f9c 60/minute",
        ":3f9c",
        "scanner:",
        "a/b:3f9c",
        "scanner:3f9c often",
        "scanner:3f9c 1/day 2/day",
        "scanner:3f9c 1 2",
        "scanner: 3f9c",
        "sch\u00f6n:3f9c",
    ],
)
def test_a_line_that_is_none_is_refused_and_its_key_is_not_shown(tmp_path: Path, line: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"fine\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"API_KEYS_FILE: .*keys line 2: ") as refused:
        Settings(api_keys_file=file).read_keys()
    assert "3f9c" not in str(refused.value)


def test_a_named_key_is_in_the_log_and_has_its_own_limits(make_odd: Callable[..., Server], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("scanner:one 99/hour 1\nscanner:two 99/hour 1\nguest:three\nplain\nfree:four none\n")
    server = make_odd(api_keys_file=file, rate_limit="2/hour")

    def ask(key: str) -> int:
        return server.get("/models", headers={"X-API-Key": key}).status_code

    assert [ask(key) for key in ("three", "three", "three")] == [200, 200, 429]
    assert [ask(key) for key in ("plain", "plain", "plain")] == [200, 200, 429]
    assert [ask("four") for _ in range(5)] == [200] * 5
    slow, scanner = {"model": "odd", "prompt": "sleep 1"}, {"X-API-Key": "one"}

    def work() -> bool:
        # A look of the other key may come first, and take the only place for a moment.
        while (answer := server.post("/generate-text", data=SMALL, params=slow, headers=scanner)).status_code == 429:
            time.sleep(0.05)
        return answer.ok

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        # Two keys of one name are one client.
        wait_until(lambda: ask("two") == 429)
        assert ask("four") == 200
        assert working.result()
    assert ask("two") == 200
    assert re.search(r"GET /models 200 \d+ ms \w+ scanner$", server.log, re.M)
    assert re.search(r"GET /models 429 \d+ ms \w+ guest$", server.log, re.M)
    assert re.search(r"GET /models 200 \d+ ms \w+ \d$", server.log, re.M)


def test_every_key_is_compared_whole_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from flask import Flask

    from app.api import auth

    compared: list[tuple[bytes, bytes]] = []
    real = auth.hmac.compare_digest

    def compare(given: bytes, key: bytes) -> bool:
        compared.append((given, key))
        return real(given, key)

    monkeypatch.setattr(auth.hmac, "compare_digest", compare)
    keyring = auth.Keys([ApiKey(KEY), ApiKey(OTHER)])
    with Flask(__name__).test_request_context("/models", headers={"X-API-Key": KEY}):
        keyring.check()
    # Also after the right one; and digests, whose length says nothing of the key's.
    assert len(compared) == 2
    assert {len(part) for pair in compared for part in pair} == {32}


@pytest.mark.parametrize("content", [None, "", "# nothing but a comment\n", "a key with blanks\n", "sch\u00f6n\n"])
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="API_KEYS_FILE") as refused:
        Settings(api_keys_file=file).read_keys()
    assert "blanks" not in str(refused.value)


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEYS", "with a blank")
    with pytest.raises(SettingsError, match="API_KEYS: should be keys") as refused:
        Settings.read()
    assert "blank" not in str(refused.value)


# Limits


@pytest.mark.parametrize(
    ("settings", "rate", "at_once"),
    [
        ({}, "", 0),
        ({"host": "localhost"}, "", 0),
        ({"host": "::1"}, "", 0),
        ({"host": "0.0.0.0"}, "300/minute", 16),
        ({"host": "::"}, "300/minute", 16),
        ({"host": "192.168.1.5"}, "300/minute", 16),
        ({"trusted_proxies": "127.0.0.1"}, "300/minute", 16),
        ({"host": "0.0.0.0", "rate_limit": "none", "client_requests": 0}, "", 0),
        ({"rate_limit": "5/second", "client_requests": 2}, "5/second", 2),
    ],
)
def test_there_are_limits_where_others_can_reach_the_service(settings: dict[str, Any], rate: str, at_once: int) -> None:
    found = Settings(**settings)
    assert (found.rate_of_client, found.requests_of_client) == (rate, at_once)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server behind a proxy on this machine, whose clients may send five requests an hour."""
    running = Server(
        tmp_path_factory.mktemp("strict"),
        rate_limit="5/hour",
        api_keys=f"{KEY},third-key",
        trusted_proxies="127.0.0.1",
    )
    yield running
    running.kill()


def test_a_client_that_asks_too_often(strict: Server) -> None:
    def ask(**headers: str) -> requests.Response:
        return strict.get("/models", headers={name.replace("_", "-"): value for name, value in headers.items()})

    first = {"X_Forwarded_For": "192.0.2.1"}
    for _ in range(5):
        assert ask(**first).status_code == 401
    # Also guesses of keys are counted.
    problem = assert_problem(ask(**first), 429, "rate-limited")
    assert "5 per 1 hour" in problem["detail"]
    # What a client writes itself comes before what the proxy adds, and is not believed.
    assert ask(X_Forwarded_For="203.0.113.9, 192.0.2.1").status_code == 429
    # The proxy may be one of several.
    assert ask(X_Forwarded_For="192.0.2.1, 127.0.0.1").status_code == 429
    assert ask(X_Forwarded_For='", 192.0.2.1').status_code == 429
    # Some proxies add the port, which is another for each connection.
    assert ask(X_Forwarded_For="192.0.2.1:51234").status_code == 429
    assert ask(X_Forwarded_For="192.0.2.2").status_code == 401
    # A client with a key is that key, wherever it is.
    assert [ask(X_API_Key=KEY, X_Forwarded_For=f"192.0.2.{n}").status_code for n in range(7)] == [200] * 5 + [429] * 2
    # One who has a network of IPv6 is one client.
    statuses = [ask(X_Forwarded_For=f"2001:db8:1:2::{n}").status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]
    assert ask(X_Forwarded_For="[2001:db8:1:2::9]:51234").status_code == 429
    assert strict.get("/healthz", headers={"X-Forwarded-For": "192.0.2.1"}).ok


def test_a_prefix_is_believed_of_a_proxy_alone(strict: Server, locked: Server) -> None:
    headers = {"X-API-Key": "third-key", "X-Forwarded-Prefix": "/pictures"}
    for server, expected in ((strict, "/pictures"), (locked, "/")):
        assert server.get("/openapi.json", headers=headers).json()["servers"] == [{"url": expected}]


def test_ipv4_is_ipv4_where_the_service_listens_on_ipv6(make_server: Callable[..., Server]) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    server = make_server(host="::", rate_limit="1/hour", trusted_proxies="127.0.0.1")
    url = f"http://127.0.0.1:{urlsplit(server.url).port}/models"

    def ask(client: str) -> int:
        return requests.get(url, headers={"X-Forwarded-For": client}, timeout=30).status_code

    # The proxy is known, and its clients are not one.
    clients = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "::ffff:192.0.2.3", "::ffff:192.0.2.4"]
    assert [ask(client) for client in clients] == [200, 200, 429, 200, 200]


def test_others_than_the_proxy_are_not_believed(make_server: Callable[..., Server]) -> None:
    server = make_server(rate_limit="3/hour", trusted_proxies="10.0.0.0/8")
    assert [server.get("/models", headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(4)] == [
        200,
        200,
        200,
        429,
    ]


def test_how_much_one_client_may_ask_at_once(make_odd: Callable[..., Server]) -> None:
    server = make_odd(client_requests=2, api_keys=f"{KEY},other")
    slow = {"model": "odd", "prompt": "sleep 0.5"}

    def ask(key: str) -> requests.Response:
        return server.post("/generate-text", files={"image_file": SMALL}, data=slow, headers={"X-API-Key": key})

    with ThreadPoolExecutor(8) as pool:
        greedy = [pool.submit(ask, KEY) for _ in range(6)]
        modest = pool.submit(ask, "other")
        answers = [job.result() for job in greedy]
        assert modest.result().ok
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 2
    for answer in answers:
        if answer.status_code == 429:
            assert_problem(answer, 429, "rate-limited")
    # Whatever came of them, they do not count any more: streams, errors and files as well.
    for _ in range(3):
        assert ask(KEY).ok
        headers = {"X-API-Key": KEY, "Accept": "text/event-stream"}
        assert (
            b"event: result"
            in server.post("/generate-text", data=SMALL, params={"model": "odd"}, headers=headers).content
        )
        saved = server.post("/generate-text", data=SMALL, params={"model": "odd"}, headers={"X-API-Key": KEY}).json()
        assert server.get(f"/{saved['image']['saved_as']}", headers={"X-API-Key": KEY}).content == SMALL
        assert server.post("/generate-text", headers={"X-API-Key": KEY}).status_code == 400


def test_a_service_that_others_can_reach_without_a_key_says_so(make_server: Callable[..., Server]) -> None:
    open_to_all = make_server(trusted_proxies="127.0.0.1")
    assert "no API_KEYS are set" in open_to_all.log


def test_one_for_this_machine_alone_does_not(locked: Server) -> None:
    assert "no API_KEYS" not in locked.log
