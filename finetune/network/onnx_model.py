"""A segmentation network as an ONNX file: from uint8 pixels to probabilities, with its card and a checksum."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from dermssl.data.images import Pixels
from dermssl.errors import UserError
from dermssl.features.equal_batches import equal_batches
from dermssl.files import whole_file
from dermssl.training.device import Precision
from dermssl.weights.encoder import Normalise
from dermssl.weights.onnx_file import write_onnx
from finetune.network.model_file import ModelCard, model_card_from
from finetune.scoring.inference import Probability

PIXELS, PROBABILITY = "pixels", "probability"  # of the file's input and output
CARD, CHECKSUM = "card", "sha256"  # among its metadata_props; the checksum is of all bytes before it
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
        self.session = onnxruntime.InferenceSession(verified_bytes(path), options, providers=providers)
        texts = self.session.get_modelmeta().custom_metadata_map
        self.card = model_card_from(json.loads(texts[CARD]), f"--model {path}")

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
