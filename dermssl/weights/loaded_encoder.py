"""An encoder for programs of one's own: the network that all commands share, with its card and its normalisation."""

from pathlib import Path

from torch import nn

from dermssl.errors import UserError
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import read_card


def load_encoder(
    init: str | Path = "ssl", encoder: str | None = None, *, checkpoints: str | Path = "checkpoints"
) -> nn.Module:
    """An encoder in evaluation mode, on the CPU, every tensor compared: the class that smp puts under its decoders.

    Two attributes come with it: `card`, what its file says of it, and `normalise`, a module that takes pixels as the
    camera gave them, uint8 RGB (B, 3, H, W), to what the encoder was trained on. `encoder(encoder.normalise(pixels))`
    gives the images and a map of each stage, finest first, (B, C, h, w).

    Args:
        init: An encoder file, or as `--init` takes it: `imagenet`, `random`, or `ssl` for the newest in `checkpoints`.
        encoder: The encoder's name in smp; a file knows its own.
        checkpoints: Where `ssl` looks.

    Raises:
        UserError: If the file is missing, damaged or another encoder's, or no name is given where one is needed.
    """
    word = str(init)
    if encoder is None:
        if word in ("ssl", "imagenet", "random"):
            raise UserError(f"load_encoder({word!r}): which encoder? Give its name in smp, such as 'resnet50', as well")
        encoder = read_card(Path(init)).encoder
    start = start_from(word, encoder, seed=0, checkpoints=Path(checkpoints))
    network = start.encoder.eval()
    network.card = start.card  # type: ignore[assignment]  # any attribute may be set, and this one is no tensor
    network.normalise = start.normalise
    return network
