"""The log: lines for people, or JSON for what collects logs.

No line holds a picture, a prompt, a text that was read, a key, or the query of a URL.
"""

import json
import logging
from datetime import UTC, datetime

from app import context


def configure(level: str, format: str) -> None:
    """Send the log to stderr.

    Args:
        level: the least that is logged.
        format: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else _TEXT)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # It warns of every request that waits a moment for a thread.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    # It writes a line for every file of a download.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # At DEBUG it writes down the queries of URLs.
    logging.getLogger("urllib3").setLevel(logging.INFO)


_TEXT = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")


class JsonFormatter(logging.Formatter):
    """An object in a line for each record.

    It has `time`, `level`, `logger` and `message`; `request_id` and `key` where it is of a request; `exception` with
    the traceback. The line of an answered request also has `method`, `path`, `status`, `milliseconds` and `model`.
    """

    def format(self, record: logging.LogRecord) -> str:
        of = context.current()
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": of.request_id,
            "key": of.key,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        # What is empty is left out.
        return json.dumps({name: value for name, value in said.items() if value != ""})
