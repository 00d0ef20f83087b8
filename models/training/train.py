"""Train a captioner: `python -m models.training.train --images DIR --captions FILE --out DIR`.

Leaves in the output directory: `best` and `last`, models that MODEL_PATHS can name; `log.csv` and `curves.png`; and
`state.pt`, from which `--resume` goes on exactly where a run was killed.
"""

import logging
import sys
from collections.abc import Sequence

import torch

from models.base import ModelError
from models.training.checkpoints import STATE
from models.training.formats import DatasetError
from models.training.prepare import make_network, read_photos
from models.training.settings import Settings, parse
from models.training.trainer import Trainer

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as the command line says; the exit status is 1 where that cannot be."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    settings, resume = parse(arguments)
    try:
        train(settings, resume)
    except (DatasetError, ModelError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; --resume --out {settings.out} goes on", file=sys.stderr)
        return 130
    return 0


def train(settings: Settings, resume: bool = False) -> None:
    """Train, or go on with the run in `settings.out`.

    Raises:
        DatasetError: the photos or captions cannot be used.
        ValueError: a run is in the directory already, or the settings contradict one another.
    """
    if not resume and (settings.out / STATE).is_file():
        raise ValueError(f"{settings.out} holds a run already: --resume goes on with it, another --out starts anew")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    photos = read_photos(settings)
    network, vocabulary = make_network(settings, photos.train)
    settings.out.mkdir(parents=True, exist_ok=True)
    settings.save()
    size = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    log.info(
        "%d photos to train on, %d of dev; %d words; %.1f million parameters",
        len(photos.train),
        len(photos.dev),
        len(vocabulary),
        size,
    )
    trainer = Trainer(settings, photos, network, vocabulary)
    if resume:
        trainer.resume()
    trainer.run()


if __name__ == "__main__":
    sys.exit(main())
