"""Forms whose files stay in memory."""

import io
from typing import IO

from flask import Request


class InMemory(Request):
    """A request whose files are read into memory, as they will be at once anyway, and not through temporary files."""

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        return io.BytesIO()
