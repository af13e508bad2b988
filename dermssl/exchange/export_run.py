"""The story of `python -m dermssl export`: an encoder file as another library takes it, proved before it is there."""

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.forms import Form, form_of, timm_call
from dermssl.exchange.model_card import SIDE, card_text, model_card, public, timm_config
from dermssl.exchange.proof import largest_difference, side_for
from dermssl.files import whole_file, whole_folder, write_json, write_text
from dermssl.places import try_places
from dermssl.weights.encoder import Normalise, Start, feature_maps, start_from
from dermssl.weights.encoder_file import read_card
from dermssl.weights.library_names import counterparts
from dermssl.weights.onnx_file import write_onnx

TOLERANCE = 1e-5  # of a map's largest value
INPUT = "pixels"


class Stages(nn.Module):
    """An encoder with its normalisation: RGB pixels (B, 3, S, S), uint8, to the maps of all stages."""

    def __init__(self, encoder: nn.Module, normalise: Normalise) -> None:
        super().__init__()
        self.encoder, self.normalise = encoder, normalise

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The maps, (B, C, H, W) each and finest first."""
        return tuple(feature_maps(self.encoder, self.normalise(pixels)))


def run(config: ExportConfig) -> Path:
    """Writes what `config` asks for, and prints where it is, what was proved and how to load it; returns the path.

    Raises:
        UserError: If the file is no encoder file, the library has no such network, something stands at --out already,
            or the proof fails; nothing is left then.
    """
    place = config.place
    try_places({"--file": config.file})
    if not config.file.is_file():
        raise UserError(
            f"{config.file}: no such file; give the encoder file of a pretraining, or one that "
            "`python -m dermssl import` wrote"
        )
    writes = {"--out": place}
    try_places({}, folders=writes) if config.to == "huggingface" else try_places({}, files=writes)
    if place.exists():
        raise UserError(f"--out {place}: is there already; give another name, or remove it")
    start = start_from(str(config.file.absolute()), read_card(config.file).encoder, seed=0)
    if config.to == "onnx":
        print(write_encoder_onnx(place, start, config.size or start.card.image_size or SIDE))
        return place
    form = form_of(config.to, start)
    if form is None:
        others = ", ".join(libraries_for(start))
        raise UserError(
            f"--to {config.to}: {config.to} has no network that holds '{start.card.encoder}'; take --to {others}"
        )
    print((write_timm_folder if config.to == "huggingface" else write_tensor_file)(place, start, form))
    return place


def libraries_for(start: Start) -> list[str]:
    """The libraries that can take the encoder."""
    names = counterparts(start.card.encoder)
    libraries = [name for name in ("timm", "torchvision") if name in names and form_of(name, start)]
    return [*libraries, "smp", "onnx", *(["huggingface"] if "timm" in libraries else [])]


def write_tensor_file(path: Path, start: Start, form: Form) -> str:
    """Writes the tensors under the library's names; returns what there is to say of it."""
    with whole_file(path) as part:
        save_file(form.renamed(start.encoder.state_dict()), part, metadata=card_text(start.card))
        difference = prove_features(part, start, form)
    return export_summary(path, start, form, difference)


def write_timm_folder(path: Path, start: Start, form: Form) -> str:
    """Writes config.json, model.safetensors and README.md, which timm opens by the folder's name."""
    call = timm_call(start.card.encoder)
    assert call is not None, "the form came of it"
    with whole_folder(path) as part:
        write_json(part / "config.json", timm_config(start.card, call))
        save_file(form.renamed(start.encoder.state_dict()), part / "model.safetensors", metadata=card_text(start.card))
        difference = prove_features(part, start, form)
        write_text(part / "README.md", model_card(start.card, form.lines, form.remark))
    return export_summary(path, start, form, difference)


def prove_features(path: Path, start: Start, form: Form) -> float:
    """The difference of the features once the library alone has opened `path`; see `largest_difference`.

    Raises:
        UserError: If the library does not open it, or gives other features.
    """
    try:
        model = form.open_model(path)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"'{start.card.encoder}': the library does not open what was written ({first}); take --to smp or onnx"
        ) from error
    theirs, ours = model.state_dict(), start.encoder.state_dict()
    wrong = [
        name
        for name, own in form.names_in_model.items()
        if not torch.equal(theirs[name].flatten(), ours[own].flatten())
    ]
    difference = largest_difference(start.encoder, model, side_for(start.card.encoder))
    if wrong or not difference <= TOLERANCE:  # nan is a failure too
        raise UserError(
            f"'{start.card.encoder}': {len(wrong)} of {len(form.names_in_model)} tensors differ once the library has "
            f"loaded them, and {features_apart(difference)}; take --to smp or onnx"
        )
    return difference


def features_apart(difference: float) -> str:
    """In words, a difference of features that is too large, or is none at all."""
    if isfinite(difference):
        return f"its features by {difference:.1e} of the largest value, so it has another network"
    return "no layer of it gives our features, or these are no finite numbers"


def write_encoder_onnx(path: Path, start: Start, side: int) -> str:
    """Writes encoder and normalisation for pictures of `side` pixels; returns what there is to say of it."""
    module = Stages(start.encoder, start.normalise).eval()
    example = torch.randint(256, (2, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            maps = module(example)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"'{start.card.encoder}' takes no pictures of {side} pixels ({error}); give --size") from error
    names = [f"stage_{index}" for index in range(1, len(maps) + 1)]
    shapes = {name: ["B", *stage_map.shape[1:]] for name, stage_map in zip(names, maps, strict=True)}
    about = {
        "card": json.dumps(public(start.card)),
        "input": f"RGB pixels in 0 to 255, uint8, (B, 3, {side}, {side}); normalisation is in the graph",
        "outputs": json.dumps(shapes),
    }
    difference = write_onnx(path, module, example, INPUT, names, about)
    lines = (
        "import onnxruntime",
        'session = onnxruntime.InferenceSession("PATH")',
        f'maps = session.run(None, {{"{INPUT}": pixels}})  # uint8 (B, 3, {side}, {side}), RGB',
    )
    proof = (
        f"onnxruntime gives the {len(names)} maps {', '.join(names)} within {difference:.0e} of torch's largest value"
    )
    return "\n".join([f"results: {path}", f"proved:  {proof}, for three batch sizes", *python_lines(lines, path)])


def export_summary(path: Path, start: Start, form: Form, difference: float) -> str:
    """What the command says of the file: where it is, what was proved of it, and the lines that load it."""
    stages = len(feature_maps(start.encoder, torch.zeros(1, 3, *2 * [side_for(start.card.encoder)])))
    proof = f"{len(form.names)} tensors loaded by the library alone, {stages} maps equal within {difference:.0e}"
    normal = f"# then ((pixels / 255) - mean) / std with mean {start.card.mean}, std {start.card.std}"
    remark = [f"note:    {form.remark}"] if form.remark else []
    return "\n".join([f"results: {path}", f"proved:  {proof}", *remark, *python_lines([*form.lines, normal], path)])


def python_lines(lines: Sequence[str], path: Path) -> list[str]:
    """The lines of Python for `path`, indented under a heading."""
    return ["next:", *(f"    {line.replace('PATH', str(path))}" for line in lines)]
