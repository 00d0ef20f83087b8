"""A bucket of images, at a real server that speaks S3's protocol."""

import hashlib
import time
from typing import Any

import pytest

from app.config import Settings, SettingsError
from app.errors import NotFound, StorageFailed, StorageFull
from app.storage import s3
from app.storage.s3 import S3Store
from tests.shared import S3Server

DATA = b"an image"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def bucket(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    return s3_server.make_bucket(f"bucket-{hashlib.sha256(request.node.name.encode()).hexdigest()[:20]}")


def put(store: S3Store, data: bytes, format: str = "PNG") -> str:
    with store.keep(data, hashlib.sha256(data).hexdigest(), format) as name:
        pass
    return name


def keys(server: S3Server, bucket: str) -> list[str]:
    return [found["Key"] for found in server.client.list_objects_v2(Bucket=bucket).get("Contents", ())]


def test_kept_under_its_hash_and_found_by_another_copy(s3_server: S3Server, bucket: str) -> None:
    assert put(S3Store(f"{bucket}/photos/"), DATA, "JPEG") == f"{SHA256}.jpg"
    assert keys(s3_server, bucket) == [f"photos/{SHA256}.jpg"]
    other = S3Store(f"{bucket}/photos")
    with other.find(f"{SHA256}.jpg") as found:
        assert found.read() == DATA
    other.delete(f"{SHA256}.jpg")
    for call in (other.find, other.delete):
        with pytest.raises(NotFound):
            call(f"{SHA256}.jpg")


def test_not_kept_if_the_block_fails(s3_server: S3Server, bucket: str) -> None:
    with pytest.raises(ZeroDivisionError), S3Store(bucket).keep(DATA, SHA256, "PNG"):
        raise ZeroDivisionError
    assert keys(s3_server, bucket) == []


@pytest.mark.parametrize("name", ["../secret", "a.png", f"{SHA256}.PNG", ""])
def test_other_names_find_nothing(s3_server: S3Server, bucket: str, name: str) -> None:
    s3_server.client.put_object(Bucket=bucket, Key=name or "empty", Body=b"secret")
    with pytest.raises(NotFound):
        S3Store(bucket).find(name)


def test_what_is_in_the_bucket_is_not_sent_again(bucket: str) -> None:
    store, calls = S3Store(bucket), []
    store._client.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    put(store, DATA)
    put(store, DATA)
    assert calls == ["HeadObject", "PutObject", "HeadObject"]


def test_the_oldest_go_when_there_are_too_many_and_nothing_of_others(s3_server: S3Server, bucket: str) -> None:
    s3_server.client.put_object(Bucket=bucket, Key="report.pdf", Body=bytes(1000))
    first = put(S3Store(bucket), b"1" * 100)
    # S3 tells times in seconds.
    time.sleep(1.1)
    others = [put(S3Store(bucket), f"{number}".encode().rjust(100)) for number in range(3)]
    store = S3Store(bucket, max_bytes=100 * len(others))
    store.tidy()
    assert set(keys(s3_server, bucket)) == {"report.pdf", *others}, first
    # All images are looked at now and then only.
    put(store, b"2" * 100)
    store.tidy()
    assert len(keys(s3_server, bucket)) == len(others) + 2


def test_what_is_too_old_goes_and_what_comes_again_stays(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(S3Store(bucket), DATA)
    S3Store(bucket, max_age=3600).tidy()
    assert keys(s3_server, bucket) == [name]
    now = s3.time.time()
    monkeypatch.setattr(s3.time, "time", lambda: now + 3000)
    calls: list[Any] = []
    store = S3Store(bucket, max_age=3600)
    store._client.meta.events.register("before-call.s3.PutObject", lambda **_: calls.append(1))
    put(store, DATA)
    assert calls == [1], "it is written again, so that it is young"
    monkeypatch.setattr(s3.time, "time", lambda: now + 7300)
    store.tidy()
    assert keys(s3_server, bucket) == []


def test_what_s3_does_not_remove_is_logged(
    bucket: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(S3Store(bucket), DATA)
    store = S3Store(bucket, max_bytes=1)
    errors = [{"Key": f"{SHA256}.png", "Code": "AccessDenied", "Message": "Access Denied"}]
    monkeypatch.setattr(store._client, "delete_objects", lambda **_: {"Errors": errors})
    store.tidy()
    assert "cannot remove 1 old images from S3_BUCKET: Access Denied" in caplog.text


def test_an_image_larger_than_the_limit_is_refused_before_the_work(bucket: str) -> None:
    with pytest.raises(StorageFull, match="MAX_STORE_MB"), S3Store(bucket, max_bytes=3).keep(DATA, SHA256, "PNG"):
        pytest.fail("the block ran")


def test_a_bucket_that_is_not_there_is_said_at_start_and_fails_requests(caplog: pytest.LogCaptureFixture) -> None:
    store = S3Store("nonesuch")
    store.open()
    assert "S3_BUCKET nonesuch cannot be used" in caplog.text
    with pytest.raises(StorageFailed, match=r"NoSuchBucket.*S3_BUCKET"):
        put(store, DATA)
    store = S3Store("nonesuch", max_bytes=1000)
    store.tidy()
    assert "cannot remove old images" in caplog.text


def test_a_bucket_must_be_named() -> None:
    with pytest.raises(SettingsError, match="STORAGE=s3 needs S3_BUCKET"):
        Settings.read(storage="s3")
