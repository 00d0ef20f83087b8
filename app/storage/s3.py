"""Images in a bucket of S3, or of a store that speaks its protocol, each under the SHA-256 of its bytes.

boto3 finds credentials, the region and the address of the store where it always does: in AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL_S3 and so on, or in the role of the machine.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, cast

from app.errors import NotFound, StorageFailed, StorageFull
from app.storage.base import is_name, name_of

log = logging.getLogger(__name__)

TIDY_EVERY = 600.0
"""Seconds between two looks at all images of the bucket."""
_AT_ONCE = 1000
"""How many images one request removes: as many as S3 takes."""
_ABSENT = ("404", "NoSuchKey", "NotFound")
_NO_ROOM = ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull")


class _Kept(NamedTuple):
    came: datetime
    size: int
    key: str


class S3Store:
    """A bucket of images. Several copies of the service may share it.

    Args:
        bucket: its name, with a prefix for keys after a slash, if one is wanted.
        max_bytes: the limit of their total size, beyond which the oldest are removed; 0 for none.
        max_age: after how many seconds an image is removed; 0 for never.
    """

    def __init__(self, bucket: str, max_bytes: int = 0, max_age: float = 0) -> None:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        self._bucket, _, prefix = bucket.partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._failures = (BotoCoreError, ClientError)
        self._tidy_at = 0.0
        config = Config(
            connect_timeout=5, read_timeout=30, max_pool_connections=64, retries={"mode": "standard", "max_attempts": 3}
        )
        try:
            self._client: Any = boto3.client("s3", config=config)
        except BotoCoreError as error:
            raise StorageFailed(str(error)) from error

    def open(self) -> None:
        """Warn if the bucket cannot be reached."""
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except self._failures as error:
            log.warning("S3_BUCKET %s cannot be used (%s): uploads will get 507", self._bucket, error)

    @contextlib.contextmanager
    def keep(self, data: bytes, sha256: str, format: str) -> Iterator[str]:
        # Written after the block: were it written before, a request that fails would have to remove what another copy
        # may have kept meanwhile.
        if 0 < self._max_bytes < len(data):
            raise StorageFull("the image is larger than all that may be kept: see MAX_STORE_MB")
        name = name_of(sha256, format)
        yield name
        try:
            if not self._is_fresh(name):
                self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=data)
        except self._failures as error:
            log.error("cannot save %s: %s", name, error)
            kind = StorageFull if self._code(error) in _NO_ROOM else StorageFailed
            raise kind(
                f"the image could not be saved ({self._code(error)}): see S3_BUCKET, or set SAVE_UPLOADS=false"
            ) from error

    def find(self, name: str) -> BinaryIO:
        if not is_name(name):
            raise self._not_found(name)
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._failures as error:
            if self._code(error) in _ABSENT:
                raise self._not_found(name) from error
            raise StorageFailed(f"the image could not be read ({self._code(error)})") from error
        return cast(BinaryIO, found["Body"])

    def delete(self, name: str) -> None:
        # S3 does not say whether there was anything to delete.
        self.find(name).close()
        try:
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._failures as error:
            raise StorageFailed(f"the image could not be removed ({self._code(error)})") from error

    def tidy(self) -> None:
        if not (self._max_bytes or self._max_age) or time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_EVERY
        try:
            going = self._to_go()
            for start in range(0, len(going), _AT_ONCE):
                objects = [{"Key": key} for key in going[start : start + _AT_ONCE]]
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
                # The request itself goes well where objects are locked, or may not be removed.
                if failed := answer.get("Errors"):
                    why = failed[0].get("Message") or failed[0].get("Code")
                    log.warning("cannot remove %d old images from S3_BUCKET: %s", len(failed), why)
        except self._failures as error:
            log.warning("cannot remove old images from S3_BUCKET: %s", error)

    def _to_go(self) -> list[str]:
        """Return the keys of images to remove: those too old, and the oldest beyond the limit of size."""
        kept = sorted(self._kept())
        too_much = sum(image.size for image in kept) - self._max_bytes if self._max_bytes else 0
        oldest = time.time() - self._max_age if self._max_age else 0.0
        going = []
        for image in kept:
            if too_much <= 0 and image.came.timestamp() >= oldest:
                break
            going.append(image.key)
            too_much -= image.size
        return going

    def _kept(self) -> Iterator[_Kept]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                # Others may keep other things in the bucket.
                if is_name(found["Key"].removeprefix(self._prefix)):
                    yield _Kept(found["LastModified"], found["Size"], found["Key"])

    def _is_fresh(self, name: str) -> bool:
        """Return whether an image is in the bucket, and need not be written again to be kept for longer."""
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except self._failures as error:
            if self._code(error) in _ABSENT:
                return False
            raise
        if self._max_bytes or self._max_age:
            age = time.time() - found["LastModified"].timestamp()
            return bool(age < (self._max_age / 10 or 86_400))
        return True

    def _code(self, error: Exception) -> str:
        response: dict[str, Any] = getattr(error, "response", {})
        return str(response.get("Error", {}).get("Code", type(error).__name__))

    def _not_found(self, name: str) -> NotFound:
        return NotFound(f"there is no image {name!r}")
