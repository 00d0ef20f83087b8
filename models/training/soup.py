"""Make one captioner of several: `python -m models.training.soup DIR DIR ... --out DIR`.

Its weights are the means of the others' (Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482). If all
were fine-tuned from the same captioner, it is mostly better than the best of them, and as fast.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.backends import torch as runtime
from models.captioning.network import RecurrentCaptioner
from models.captioning.vocabulary import Vocabulary
from models.training.checkpoints import export
from models.training.command import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the mean of captioners. The exit status is 1 if there is an error."""
    parser = Parser("python -m models.training.soup", description="Make one captioner of several.")
    parser.add_argument("captioners", nargs="+", type=Path, metavar="DIR", help="what a training left as best or last")
    parser.add_argument("--out", type=Path, required=True, help="directory for the mean; must not be there yet")
    asked = parser.parse_args(arguments)
    try:
        if asked.out.exists():
            raise ValueError(f"{asked.out} is there already")
        export(mean(asked.captioners), Vocabulary.load(asked.captioners[0]), asked.out)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@torch.no_grad()
def mean(directories: Sequence[Path]) -> RecurrentCaptioner:
    """Return a captioner whose weights are the means of others'.

    Raises:
        ValueError: they differ in their layers or their words.
    """
    read = [runtime.read_weights(RecurrentCaptioner, directory, torch.float32) for directory in directories]
    states, words = [network.state_dict() for network in read], [Vocabulary.load(path).tokens for path in directories]
    shapes = [{name: tensor.shape for name, tensor in state.items()} for state in states]
    for directory, shape, tokens in zip(directories, shapes, words, strict=True):
        if (shape, tokens) != (shapes[0], words[0]):
            raise ValueError(f"{directory} has other layers or other words than {directories[0]}")
    # Compute all means before loading any, because two names may share a tensor.
    means = {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        for name, tensor in states[0].items()
        if tensor.is_floating_point()
    }
    captioner: RecurrentCaptioner = read[0]
    captioner.load_state_dict(states[0] | means)
    return captioner


if __name__ == "__main__":
    sys.exit(main())
