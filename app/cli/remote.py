"""Answers from a service somewhere else."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from app.cli import records
from app.cli.exits import NoModel
from app.cli.inputs import Item
from app.cli.outputs import ItemFailed
from app.types import Answer
from models.roles import READER

_ATTEMPTS = 8
_LONGEST_PAUSE = 60.0
_TIMEOUT = (10.0, 600.0)
"""Seconds for connecting, and without a byte."""
_BUSY = (429, 502, 503, 504)
_MOST_BYTES = 2_000_000_000


class Remote:
    """A service that answers over HTTP."""

    most_bytes = _MOST_BYTES

    def __init__(
        self,
        server: str,
        key: str | None,
        jobs: int,
        fields: Mapping[str, Any],
        say: Callable[[str], None],
        stopped: threading.Event,
    ) -> None:
        """Args:
        server: its address.
        key: one of its API keys.
        jobs: how many requests to send at once.
        fields: those of `POST /generate-text`.
        say: is told what takes long.
        stopped: set when nobody wants answers any more.

        Raises:
            NoModel: it cannot be reached, wants a key, or has no such model.
        """
        self.parallel = jobs
        self._server = server.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._fields = {name: _form(value) for name, value in fields.items() if value is not None}
        self._stopped = stopped
        self._threads = threading.local()
        models = self._json("GET", "/models")
        known = {model["name"]: model for model in models["models"]}
        name = fields.get("model") or "auto"
        name = models["default"] if name == "auto" else name
        if name not in known and name != "alt-text":
            # Perhaps a former name of a model; the service refuses what it does not know.
            name = self._json("POST", f"/models/{name}/load")["name"]
        self.identity = repr((self._server, _version(known, name, models["default"]), sorted(self._fields.items())))
        if name in known:
            self._wait_for(name, known[name], say)

    def answer(self, item: Item, data: bytes | None) -> Answer:
        """Answer one input: its bytes, or None for those at its URL.

        Raises:
            ItemFailed: the input is refused, or the service stays busy.
            NoModel: the service wants another key, or does not come back.
        """
        return records.from_service(self._generate(item, data).json())

    def export(self, answer: Answer, format: str, item: Item, data: bytes) -> bytes:
        """Have an answer rendered in a format of EXPORTS. The service remembers the answer, if its settings let it."""
        without = {name: value for name, value in self._fields.items() if name not in ("tags", "tagger")}
        return self._generate(item, data, {**without, "format": format}).content

    def close(self) -> None:
        """Nothing is to be done."""

    def _generate(self, item: Item, data: bytes | None, fields: Mapping[str, str] | None = None) -> requests.Response:
        form = dict(self._fields if fields is None else fields)
        files = None if data is None else {"image_file": ("image", data)}
        if data is None:
            form["image_url"] = item.path
        response = self._send("POST", "/generate-text", data=form, files=files)
        if not response.ok:
            raise ItemFailed(_detail(response), lasting=response.status_code in (400, 413, 415, 422))
        return response

    def _send(self, method: str, path: str, wait: bool = True, **body: Any) -> requests.Response:
        """Send a request, again and again while the service is busy, and with `wait` while it is away.

        Raises:
            ItemFailed: it stays busy, or ends each time that it gets this input.
            NoModel: it wants a key, or does not come back; without `wait`, it is not there.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            pause, why, away = _pause(attempt), "", False
            try:
                response = self._session().request(
                    method, self._server + path, headers=self._headers, timeout=_TIMEOUT, **body
                )
            except requests.RequestException as error:
                if not wait:
                    raise self._absent(error) from error
                why, away = f"{self._server} cannot be reached ({type(error).__name__})", True
            else:
                if response.status_code in (401, 403):
                    raise NoModel(f"{self._server} refuses: {_detail(response)} (--api-key)")
                if response.status_code not in _BUSY:
                    return response
                why = _detail(response)
                pause = _pause(attempt, response)
            if attempt < _ATTEMPTS and self._stopped.wait(pause):
                raise ItemFailed(why)
        if away:
            # A service that answers this has ended over the input each time: other inputs can still be answered.
            self._json("GET", "/models")
        raise ItemFailed(why)

    def _json(self, method: str, path: str) -> Any:
        """Ask about models, again while the service is busy.

        Raises:
            NoModel: there is no service, or it has no such model.
        """
        try:
            response = self._send(method, path, wait=False)
            if response.status_code == 404 and method == "POST":
                raise NoModel(f"{self._server}: {_detail(response)}")
            response.raise_for_status()
            return response.json()
        except ItemFailed as error:
            raise NoModel(f"{self._server} is busy: {error}") from error
        except requests.RequestException as error:
            raise self._absent(error) from error

    def _absent(self, error: requests.RequestException) -> NoModel:
        return NoModel(f"no Image to Text service answers at {self._server} ({type(error).__name__})")

    def _wait_for(self, name: str, model: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Have the service fetch a model that it does not have.

        Raises:
            NoModel: it cannot.
        """
        if model["state"] in ("absent", "failed"):
            model = self._json("POST", f"/models/{name}/load")
        said, began = 0.0, False
        while model["state"] in ("absent", "downloading") and not self._stopped.wait(0.5):
            model = next(each for each in self._json("GET", "/models")["models"] if each["name"] == name)
            if time.monotonic() > said + 10:
                said = time.monotonic()
                say(f"{name}: the service is downloading it, {model['progress'] or 0:.0%}")
            if began and model["state"] == "absent":
                raise NoModel(f"{name}: its download was stopped")
            began = began or model["state"] == "downloading"
        if model["state"] == "failed":
            raise NoModel(f"{name}: {model['error']}")

    def _session(self) -> requests.Session:
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
        session: requests.Session = self._threads.session
        return session


def _pause(attempt: int, response: requests.Response | None = None) -> float:
    """Return the seconds until the next attempt: as long as the service asks for, else longer each time."""
    asked = "" if response is None else response.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdecimal() else 2.0 ** (attempt - 1), _LONGEST_PAUSE)


def _version(known: Mapping[str, Any], name: str, default: str) -> Any:
    names = (READER, default) if name == "alt-text" else (name,)
    return [(each, known.get(each, {}).get("hub_id"), known.get(each, {}).get("revision")) for each in names]


def _form(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _detail(response: requests.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return f"the service answered {response.status_code}"
