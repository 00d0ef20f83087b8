"""The way of an image through the code is short, and CONTRIBUTING.md describes it as it is."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from app import build_service, create_app
from app.config import Settings
from app.decoding import process
from tests.conftest import encoded
from tests.traced import ROOT, Trace


def test_a_photo_goes_through_the_files_that_contributing_lists(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_by_worker = tmp_path / "worker"
    watched = f"import tests.traced\ntests.traced.start({str(seen_by_worker)!r})\n"
    program = process._PROGRAM.replace("from app.decoding", watched + "from app.decoding")
    monkeypatch.setattr(process, "_PROGRAM", program)
    settings = Settings(
        model_paths={"blip-base": checkpoints["blip-base"]},
        default_model="blip-base",
        images_dir=tmp_path / "images",
        network_cache=None,
        device="cpu",
        runtime="openvino",
    )
    photo = encoded(Image.effect_noise((90, 60), 90).convert("RGB"), "JPEG")
    trace = Trace()
    trace.start()
    try:
        service = build_service(settings)
        client = create_app(settings, service).test_client()
        for _ in ("loads the model", "is traced"):
            trace.files.clear()
            fields = {"image_file": (io.BytesIO(photo), "noise.jpg")}
            answer = client.post("/generate-text", data=fields, headers={"Cache-Control": "no-cache"})
        service.close()
    finally:
        trace.stop()

    assert answer.status_code == 200, answer.text
    in_service, in_worker = [*trace.files], seen_by_worker.read_text(encoding="utf-8").split()
    listed = _listed_in_contributing()
    assert len(listed) <= 14
    assert {*listed} == {*in_service, *in_worker}
    assert [name for name in listed if name in in_service] == in_service


def _listed_in_contributing() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, section = text.partition("A `POST /generate-text` begins in")
    steps = re.findall(r"^\d+\. (.+(?:\n   .+)*)", section, re.MULTILINE)
    return [name for step in steps for name in re.findall(r"`((?:app|models)/[\w/]+\.py)`", step.partition(":")[0])]
