"""Text generation: greedy and beam search for all generating families, on every backend.

`types` has requests, rules and texts, `loop` runs a batch, and `search` chooses each next token.
"""

from models.generation.loop import Network, generate, generate_of_images
from models.generation.types import (
    IMAGE_TOKEN,
    OPTIONS,
    Array,
    Floats,
    PreparedJob,
    Rules,
    Text,
    TextRequest,
    cut_after,
    cut_warning,
    is_cut,
    make_request,
    prepare_all,
)

__all__ = [
    "IMAGE_TOKEN",
    "OPTIONS",
    "Array",
    "Floats",
    "Network",
    "PreparedJob",
    "Rules",
    "Text",
    "TextRequest",
    "cut_after",
    "cut_warning",
    "generate",
    "generate_of_images",
    "is_cut",
    "make_request",
    "prepare_all",
]
