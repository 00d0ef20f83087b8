"""Train a captioner: `python -m models.training.train --images DIR --captions FILE --out DIR`.

The output directory gets `best` and `last`, models that MODEL_PATHS can name; `log.csv` and `curves.png`; and
`state.pt`, from which `--resume` continues exactly. The state is saved at Ctrl-C or SIGTERM, after each epoch, and
every --save-every steps.
"""

import logging
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.backends import torch as runtime
from models.base import Placement
from models.errors import ModelError
from models.training.checkpoints import BEST, STATE, holds_run
from models.training.prepare import make_network, read_photos
from models.training.settings import Settings, TrainingError, parse
from models.training.trainer import Trainer

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says. The exit status is 1 if there is an error."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings, resume = parse(arguments)
    try:
        train(settings, resume)
    except (ModelError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        saved = (settings.out / STATE).is_file()
        goes_on = f"--resume --out {settings.out} goes on where it was last saved" if saved else "nothing was saved yet"
        print(f"stopped; {goes_on}", file=sys.stderr)
        return 130
    return 0


def train(settings: Settings, resume: bool = False) -> None:
    """Train, or go on with the run in `settings.out`.

    Raises:
        DatasetError: the photos or captions cannot be used.
        ModelError, ValueError: what it should start from cannot be used, or a run is in the directory already.
        OSError: something cannot be written.
    """
    runtime.place(Placement(settings.device, "float32"))
    if not resume and holds_run(settings.out):
        raise TrainingError(f"{settings.out} holds a run already: --resume goes on with it, another --out starts anew")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos)
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        settings.save()
    except OSError as error:
        raise TrainingError(f"--out {settings.out} cannot be written: {error.strerror}") from error
    size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    log.info(
        "%d photos to train on, %d of dev; %d sentences besides; %d words; %.1f million parameters",
        len(photos.train),
        len(photos.dev),
        len(photos.sentences),
        len(vocabulary),
        size,
    )
    trainer = Trainer(settings, photos, network, vocabulary)
    if resume:
        trainer.resume()
    if trainer.finished:
        log.info("this training was finished already")
    trainer.run()
    _tell_result(settings, trainer.progress)


def _tell_result(settings: Settings, progress: Mapping[str, Any]) -> None:
    best = settings.out.resolve() / BEST
    log.info("the best of %d epochs is in %s: epoch %d", progress["epoch"], best, progress["best_epoch"])
    log.info("to serve it: MODEL_PATHS=%s python run.py", shlex.quote(f"{best.parent.name}={best}"))


if __name__ == "__main__":
    sys.exit(main())
