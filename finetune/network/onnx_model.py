"""A segmentation network as an ONNX file: from uint8 pixels to probabilities, with its card and a checksum."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.external_data_helper import uses_external_data
from torch import Tensor, nn

from dermssl.data.images import Pixels
from dermssl.errors import UserError
from dermssl.features.equal_batches import equal_batches
from dermssl.files import whole_file
from dermssl.training.device import Precision
from dermssl.weights.encoder import Normalise
from dermssl.weights.onnx_file import write_onnx
from dermssl.weights.tensor_file import in_a_short_line, short_reason
from finetune.network.model_file import ModelCard, model_card_from
from finetune.scoring.inference import Probability

PIXELS, PROBABILITY = "pixels", "probability"  # of the file's input and output
CARD, CHECKSUM = "card", "sha256"  # among its metadata_props; the checksum is of all bytes before it
OTHER, ANEW = "no network that `python -m finetune.export` wrote", "export the run again"
TOLERANCE = 1e-4  # of a probability; what is promised is 1e-3
GPU = "CUDAExecutionProvider"


class Whole(nn.Module):
    """The network with normalisation before it and a sigmoid behind."""

    def __init__(self, model: nn.Module, normalise: Normalise) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, pixels: Tensor) -> Tensor:
        """RGB pixels (B, 3, S, S), uint8, to probabilities of lesion (B, 1, S, S), float32."""
        probability: Tensor = self.model(self.normalise(pixels)).float().sigmoid()
        return probability


def write_onnx_model(path: Path, model: nn.Module, card: ModelCard) -> float:
    """Writes the network for any batch size; returns by how much onnxruntime's probabilities differ from torch's.

    Raises:
        UserError: If torch cannot write this decoder as ONNX, or onnxruntime computes something else.
    """
    noise = torch.Generator().manual_seed(0)
    example = torch.randint(256, (1, 3, card.image_size, card.image_size), dtype=torch.uint8, generator=noise)
    text = json.dumps(dataclasses.asdict(card))
    try:
        whole = Whole(model, card.normalise)
        difference = write_onnx(path, whole, example, PIXELS, [PROBABILITY], {CARD: text}, TOLERANCE)
    except UserError as error:
        raise UserError(f"decoder {card.decoder} on encoder {card.encoder}: {error}") from error
    data = path.read_bytes()
    with whole_file(path) as part:
        part.write_bytes(data + checksum_entry(data))
    return difference


def checksum_entry(data: bytes) -> bytes:
    """What is put behind the bytes of an ONNX file: their sha256 as one more of its metadata_props.

    A protobuf message may be written in pieces, one behind the other, so that the whole is an ONNX file still.
    """
    entry = onnx.StringStringEntryProto(key=CHECKSUM, value=hashlib.sha256(data).hexdigest())
    return bytes(onnx.ModelProto(metadata_props=[entry]).SerializeToString())


class OnnxSegmenter:
    """A network in an ONNX file, run by onnxruntime.

    Args:
        path: The file.
        device: Where it is to run; on the CPU where onnxruntime knows no GPU.
        precision: float32 alone.

    Raises:
        UserError: If the file is missing, damaged, or none of ours, or another precision is asked for.
    """

    def __init__(self, path: Path, device: torch.device, precision: Precision = "32-true") -> None:
        if precision != "32-true":
            raise UserError(f"--precision {precision}: an ONNX file computes in float32; take --precision 32-true")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone
        self.beside_cpu = device.type == "cuda" and GPU in onnxruntime.get_available_providers()
        providers = ([GPU] if self.beside_cpu else []) + ["CPUExecutionProvider"]
        content = verified_bytes(path)
        self.card = card_of_graph(content, f"--model {path}")
        try:
            self.session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # those of onnxruntime have no class in common
            raise UserError(f"--model {path}: {OTHER} ({in_a_short_line(str(error))}); {ANEW}") from error
        refuse_other_ends(self.session, self.card, f"--model {path}")

    def __call__(self, squares: Pixels) -> Probability:
        """Probability of lesion (B, S, S) of RGB squares (B, S, S, 3)."""
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2)
        batches = [(pixels, len(pixels))] if self.beside_cpu else equal_batches(pixels)
        probabilities = [self.on_batch(batch.contiguous().numpy())[:count] for batch, count in batches]
        return np.concatenate(probabilities)

    def on_batch(self, pixels: Pixels) -> Probability:
        """Probability of lesion (B, S, S) of RGB pixels (B, 3, S, S)."""
        probability: Probability = self.session.run([PROBABILITY], {PIXELS: pixels})[0][:, 0]
        return probability


def card_of_graph(content: bytes, origin: str) -> ModelCard:
    """The card in an ONNX file, whose weights are all in it and finite: onnxruntime would read any file that one names.

    Raises:
        UserError: If it is no such file.
    """
    try:
        model = onnx.load_model_from_string(content)
        fields = json.loads({entry.key: entry.value for entry in model.metadata_props}[CARD])
        if any(uses_external_data(tensor) for tensor in tensors_of_graph(model.graph)):
            raise ValueError("it keeps weights in other files")
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    except Exception as error:  # a stranger's bytes can make onnx's reader raise anything
        raise UserError(f"{origin}: {OTHER} ({short_reason(error)}); {ANEW}") from error
    broken = [name for name, values in weights.items() if values.dtype.kind == "f" and not np.isfinite(values).all()]
    if broken:
        raise UserError(f"{origin}: its tensor '{in_a_short_line(broken[0])}' holds NaN or infinity; {ANEW}")
    return model_card_from(fields if isinstance(fields, dict) else {}, origin)


def tensors_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a graph, those of graphs within it too."""
    yield from graph.initializer
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for inner in (attribute.g, *attribute.graphs):
            yield from tensors_of_graph(inner)


def refuse_other_ends(session: onnxruntime.InferenceSession, card: ModelCard, origin: str) -> None:
    """Stops where the graph does not go from pixels of the card's size to one probability for each."""
    side = card.image_size
    ends = [(end.name, end.type, end.shape[1:]) for end in (*session.get_inputs(), *session.get_outputs())]
    right = [(PIXELS, "tensor(uint8)", [3, side, side]), (PROBABILITY, "tensor(float)", [1, side, side])]
    if ends != right:
        reason = f"it does not go from {PIXELS} of {side} x {side} to their {PROBABILITY}"
        raise UserError(f"{origin}: {OTHER} ({reason}); {ANEW}")


def verified_bytes(path: Path) -> bytes:
    """The bytes of an ONNX file of ours, all but the checksum.

    Raises:
        UserError: If the file is missing, or its checksum does not fit or was never there.
    """
    if not path.is_file():
        raise UserError(f"--model {path}: no such file; `python -m finetune.export` writes it")
    data = path.read_bytes()
    content = data[: -len(checksum_entry(b""))]
    if data != content + checksum_entry(content):
        raise UserError(
            f"--model {path}: is damaged, or was not written by `python -m finetune.export`; "
            "copy it anew, or export it again"
        )
    return content
