"""The recogniser of PP-OCRv6 on OpenVINO, as RapidOCR's package has it or with weights of this project's own.

Own weights are tensors by the names of the package's constants. They take their places, so that a fine-tuned network
needs neither torch nor a graph of its own.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backends.threads import TURN, cores
from models.reading.crops import Pixels
from models.reading.ctc import Reading
from models.reading.recognition import read_crop

PRINT = Path(__file__).parents[1] / "shipped" / "print"  # own weights for print
FILE = "PP-OCRv6_rec_small.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
WIDTHS = 24  # for which the recogniser keeps what it prepared
_ASKED = {"float32": "f32", "bfloat16": "bf16"}  # number formats that may be asked for, as OpenVINO calls them
_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}  # those that processors compute in; Arm's in the last


class Recogniser:
    """Reads crops of one line. Only one thread may use it at a time."""

    def __init__(self, package: Path, own: Path | None = None, respace: bool = True, precision: str = "auto") -> None:
        """Load the network.

        Args:
            package: the directory of RapidOCR's models.
            own: the directory of weights to use instead of the package's.
            respace: whether the network of spaces is asked, which knows print.
            precision: as `compiled` takes it.

        Raises:
            ValueError: the weights are of another network.
        """
        network = core().read_model(package / FILE)
        self._characters = characters_of(network, own)
        if own is not None:
            put_weights(network, own / WEIGHTS)
        network.add_outputs([(before_scores(network), 0)])
        self._request = compiled(network, WIDTHS, precision)
        self._respace = respace
        self.precision = computed_in(self._request)

    def read(self, crop: Pixels) -> Reading:
        """Read one upright line or word."""
        return read_crop(crop, self._steps, self._characters, respace=self._respace)

    def _steps(self, tensor: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with TURN:
            found = self._request.infer([tensor])
            probabilities, steps = found[0][0], found[1][0]  # (steps, characters), (steps, channels)
            return np.array(probabilities, np.float32), np.array(steps, np.float32)


@cache
def core() -> Any:
    """Return OpenVINO's core, which all readers share and which is never freed. If another thread than its creator
    freed it, OpenVINO would unmap the signal stack of the creator."""
    import openvino

    return openvino.Core()


def compiled(network: Any, shapes: int, precision: str = "auto") -> Any:
    """Return a network's infer request.

    Args:
        network: as `core().read_model` returns it.
        shapes: for how many input shapes it caches prepared primitives. Without a limit, the cache would take a
            gigabyte for twenty pages of different sizes.
        precision: float32 or bfloat16; for any other, OpenVINO chooses what this processor computes in natively.
    """
    settings: dict[str, Any] = {"CPU_RUNTIME_CACHE_CAPACITY": shapes, "INFERENCE_NUM_THREADS": cores()}
    if precision in _ASKED:
        settings["INFERENCE_PRECISION_HINT"] = _ASKED[precision]
    return core().compile_model(network, "CPU", settings).create_infer_request()


def computed_in(request: Any) -> str:
    """Return the number format that an infer request computes in."""
    found = str(request.get_compiled_model().get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return _NAMES.get(found, found)


def characters_of(network: Any, own: Path | None) -> list[str]:
    """Return the characters that a network scores: nothing for the blank, then the dictionary, the space last."""
    config = {} if own is None else json.loads((own / CONFIG).read_text(encoding="utf-8"))
    if "characters" in config:
        return ["", *config["characters"]]
    return ["", *network.get_rt_info(["framework", "character"]).astype(str).splitlines(), " "]


def put_weights(network: Any, file: Path) -> None:
    """Put the tensors of a file in the places of a network's constants of the same names.

    Raises:
        ValueError: the network has no constant of one of the names.
    """
    from openvino import opset13
    from safetensors.numpy import load_file

    places = {node.friendly_name: node for node in network.get_ops() if node.get_type_name() == "Constant"}
    for name, values in load_file(file).items():
        if name not in places:
            raise ValueError(f"{file} has weights of another network: {name}")
        constant = opset13.constant(values.astype(np.float32), name=name)
        for target in places[name].output(0).get_target_inputs():
            target.replace_source_output(constant.output(0))
    network.validate_nodes_and_infer_types()


def before_scores(network: Any) -> str:
    """Return the name of the node from which a recogniser's last layer scores its characters."""
    node = network.outputs[0].get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    return str(node.input_value(0).get_node().friendly_name)
