"""The texts of the generating families over HTTP are those of plain transformers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from models.reference import reference
from tests.conftest import encoded
from tests.server import Server

BLIPS = ("blip-base", "blip-large")
READERS = ("trocr-large-handwritten", "trocr-base-handwritten")
GREEDY: dict[str, Any] = {}
# The pictures are no pages: a reader of lines must take them for one line.
WHOLE = {"segment": "none"}
BEAMS = {"num_beams": 3, "max_new_tokens": 9}
FORCED = {"min_new_tokens": 12, "max_new_tokens": 12}
PROMPTED = {"prompt": "a photography of"}
SHORT = {"max_new_tokens": 12}
OTHER = {"prompt": "A fire in", "max_new_tokens": 24}
CASES = [
    *((model, options) for model in BLIPS for options in (GREEDY, BEAMS, FORCED, PROMPTED, PROMPTED | BEAMS)),
    *(("kosmos-2", options) for options in (GREEDY, BEAMS, FORCED, OTHER, PROMPTED | BEAMS)),
    *((model, options) for model in READERS for options in (GREEDY, BEAMS, FORCED)),
    # Where no number of beams is given, its own, which is three.
    *(("florence-2-base", options | SHORT) for options in (GREEDY, {"num_beams": 1}, {"detail": "full"}, FORCED)),
]


@pytest.fixture(scope="module")
def expected(checkpoints: dict[str, Path], pictures: list[Image.Image]) -> Callable[..., list[str]]:
    """What plain transformers says of the pictures, one at a time, by a model and with options."""
    reference_of = cache(lambda model: reference(model, checkpoints[model]))

    @cache
    def expected(model: str, **options: Any) -> list[str]:
        texts = [reference_of(model)([picture], **options)[0].strip() for picture in pictures]
        assert len(set(texts)) == len(pictures), "a network that says the same of all pictures proves nothing"
        return texts

    return expected


@pytest.mark.parametrize(("model", "options"), CASES, ids=lambda case: str(case))
def test_text_alone(
    server: Server,
    expected: Callable[..., list[str]],
    pictures: list[Image.Image],
    model: str,
    options: dict[str, Any],
) -> None:
    texts = []
    for picture in pictures:
        answer = server.generate(encoded(picture), model=model, **options, **(WHOLE if model in READERS else {}))
        assert answer.status_code == 200, answer.text
        texts.append(answer.json()["text"])
    assert texts == expected(model, **options)


@pytest.mark.parametrize("model", [*BLIPS, "kosmos-2", *READERS])
def test_text_in_batches_of_mixed_requests(
    server: Server, expected: Callable[..., list[str]], pictures: list[Image.Image], model: str
) -> None:
    """Different pictures and options at once: each answer is that of its own request, and batches were formed."""
    options: list[dict[str, Any]] = [GREEDY, BEAMS, FORCED] if model in READERS else [GREEDY, BEAMS, PROMPTED]
    wanted = {(i, j): text for j, chosen in enumerate(options) for i, text in enumerate(expected(model, **chosen))}
    before = len(server.log)

    def ask(key: tuple[int, int]) -> str:
        whole = WHOLE if model in READERS else {}
        image = {"image_file": ("picture.png", encoded(pictures[key[0]]))}
        data = {"model": model} | options[key[1]] | whole
        # Other tests have asked the same, and their answers are kept.
        answer = server.post("/generate-text", files=image, data=data, headers={"Cache-Control": "no-cache"})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["text"])

    with ThreadPoolExecutor(len(wanted)) as pool:
        assert dict(zip(wanted, pool.map(ask, wanted), strict=True)) == wanted
    sizes = [int(line.rpartition(" ")[2]) for line in server.log[before:].splitlines() if "batch of" in line]
    assert max(sizes) > 1, sizes
