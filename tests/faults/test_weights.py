"""Every reader of a file of weights, given damaged or hostile ones: a sentence within a second, and nothing is run."""

import dataclasses
import json
import resource
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import onnx
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from faults import hostile_weights
from faults.hostile_weights import ANY, CARDS, MODELS, PICKLES, SEEN, Form, saved
from faults.tally import Tally, generator, tallied, trials
from onnx import TensorProto, helper
from torch import nn

from dermssl.errors import UserError
from dermssl.exchange import export_run
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.exchange.import_run import run as run_import
from dermssl.training.checkpoint import refuse_other_state
from dermssl.weights.encoder import normalisation, random_state, start_from
from dermssl.weights.encoder_file import EncoderCard, read_card, write_encoder_file
from dermssl.weights.seen import SEEN_COLUMNS, read_seen
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, read_model, write_model
from finetune.network.onnx_model import OnnxSegmenter, checksum_entry

ENCODER = "tu-test_efficientnet"
CPU = torch.device("cpu")
SECONDS, KILOBYTES = 2.0, 2**20  # seconds of the processor: one on an idle core, more beside others
KEEPS = {
    "read_card",
    "read_seen",
    "import .safetensors",
}  # readers that look at a part alone, or at files without hashes


class Reader(NamedTuple):
    """A reader, a good file for it, and the forms that are drawn of that."""

    read: Callable[[Path], object]
    good: Path
    forms: Mapping[str, Form]


class Small(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def encoder_file(path: Path, prefix: str = "model.") -> Path:
    """One of ours, or with the names that timm has for its tensors."""
    mean, std = normalisation(ENCODER)
    seen = pd.DataFrame([dict.fromkeys(SEEN_COLUMNS, "") | {"image_id": "a", "path": "a.jpg"}])
    card = EncoderCard(encoder=ENCODER, method="simclr", mean=mean, std=std, image_size=32)
    tensors = {prefix + name.removeprefix("model."): tensor for name, tensor in random_state(ENCODER, 0).items()}
    write_encoder_file(path, tensors, card, seen)
    return path


def model_card() -> ModelCard:
    return ModelCard(
        encoder=ENCODER, decoder="fpn", image_size=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), init="random",
        encoder_sha256="", data="", commit="",
    )  # fmt: skip


def model_file(path: Path) -> Path:
    write_model(path, build_model(ENCODER, "fpn", {}), model_card())
    return path


def onnx_file(path: Path) -> Path:
    """A graph of three steps in place of a network, which is quicker than an export."""
    ends = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", 3, 32, 32]),
            helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 1, 32, 32])]  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["numbers", "weight"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [0.1, 0.2, 0.3])
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(sealed(model, dataclasses.asdict(model_card())))
    return path


def sealed(model: onnx.ModelProto, card: object) -> bytes:
    """The file with this card, and a checksum that is right."""
    del model.metadata_props[:]
    model.metadata_props.add(key="card", value=card if isinstance(card, str) else json.dumps(card))
    content = model.SerializeToString()
    return bytes(content + checksum_entry(content))


def graphed(change: Callable[[onnx.ModelProto], object], **fields: object) -> Form:
    def form(good: bytes, _: object) -> bytes:
        model = onnx.load_model_from_string(good)
        card = {entry.key: entry.value for entry in model.metadata_props}["card"]
        change(model)
        return sealed(model, json.loads(card) | fields)

    return form


def outside(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")


ONNX: Mapping[str, Form] = {
    "weights elsewhere": graphed(outside),
    "an unknown step": graphed(lambda m: setattr(m.graph.node[2], "op_type", "System")),
    "no input": graphed(lambda m: m.graph.input.pop()),
    "another input": graphed(lambda m: setattr(m.graph.input[0], "name", "x")),
    "nan": graphed(lambda m: m.graph.initializer[0].float_data.__setitem__(0, float("nan"))),
    "another size": graphed(lambda _: None, image_size=64),
    "a vast size": graphed(lambda _: None, image_size=10**9),
    "an encoder of the hub": graphed(lambda _: None, encoder="tu-hf-hub:evil/repo"),
    "a threshold of 7": graphed(lambda _: None, threshold=7),
    "no card": lambda good, _: sealed(onnx.load_model_from_string(good), "null"),
    "a card of brackets": lambda good, _: sealed(onnx.load_model_from_string(good), "[" * 10**5),
    "no graph": lambda *_: sealed(onnx.ModelProto(), {}),
}


def state_file(path: Path) -> Path:
    path.write_bytes(saved({**state(), "state_dict": Small().state_dict()}))
    return path


def state() -> dict[str, object]:
    return {"pytorch-lightning_version": "2.5", "epoch": 1, "global_step": 5, "loops": {}, "callbacks": {},
            "optimizer_states": [], "lr_schedulers": []}  # fmt: skip


STATES: Mapping[str, Form] = {
    f"a state without {key}": lambda *_, key=key: saved({k: v for k, v in state().items() if k != key})
    for key in state()
} | {
    "another network": lambda *_: saved({**state(), "state_dict": nn.Linear(3, 3).state_dict()}),
    "another shape": lambda *_: saved(
        {**state(), "state_dict": {"layer.weight": torch.ones(3), "layer.bias": torch.ones(2)}}
    ),
    "nan": lambda *_: saved(
        {**state(), "state_dict": {"layer.weight": torch.full((2, 2), torch.nan), "layer.bias": torch.ones(2)}}
    ),
    "numbers for tensors": lambda *_: saved({**state(), "state_dict": {"layer.weight": 1, "layer.bias": 2}}),
}


def imported(path: Path) -> None:
    """Imports, and leaves nothing behind."""
    try:
        run_import(ImportConfig(file=path, encoder=ENCODER, out=path.with_name("imported.safetensors")))
    finally:
        path.with_name("imported.safetensors").unlink(missing_ok=True)


def exported(path: Path) -> None:
    out = path.with_name("exported.safetensors")
    try:
        export_run.run(ExportConfig(file=path, to="smp", out=out))
    finally:
        out.unlink(missing_ok=True)


def newest(path: Path) -> None:
    folder = path.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    shutil.copy(path, folder / "encoder.safetensors")
    start_from("ssl", ENCODER, 0, folder)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Reader]:
    torch.set_num_threads(1)
    place = tmp_path_factory.mktemp("good")
    hostile_weights.SUNG = place / "sung"
    encoder, model = encoder_file(place / "encoder.safetensors"), model_file(place / "model.safetensors")
    weights = place / "weights.pth"
    weights.write_bytes(
        saved({"state_dict": {k.removeprefix("model."): v for k, v in random_state(ENCODER, 0).items()}})
    )
    ours = {**ANY, **CARDS}
    return {
        "--init": Reader(lambda path: start_from(str(path), ENCODER, 0), encoder, {**ours, **SEEN}),
        "--init ssl": Reader(newest, encoder, ours),
        "read_card": Reader(read_card, encoder, ours),
        "read_seen": Reader(read_seen, encoder, {**ANY, **SEEN}),
        "export": Reader(exported, encoder, ours),
        "import .safetensors": Reader(imported, encoder_file(place / "theirs.safetensors", ""), ours),
        "import .pth": Reader(imported, weights, {**ANY, **PICKLES}),
        "predict": Reader(read_model, model, {**ours, **MODELS}),
        "predict .onnx": Reader(partial(OnnxSegmenter, device=CPU), onnx_file(place / "model.onnx"), {**ANY, **ONNX}),
        "--resume": Reader(
            partial(refuse_other_state, module=Small()), state_file(place / "state.ckpt"), {**ANY, **STATES}
        ),
    }


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def attempt(name: str, reader: Reader, form: str, content: bytes, folder: Path, tally: Tally) -> None:
    """One reader at one file; a file that reads well must be one whose damage no hash can see."""
    path = folder / reader.good.name
    path.write_bytes(content)
    before, begin = peak(), time.process_time()
    try:
        reader.read(path)
    except UserError as error:
        tally.told(str(error).partition("\n  tensor")[0], path.stem)
    except Exception as error:
        tally.wrong.append(f"{name}, {form}: {type(error).__name__}: {error}"[:300])
    else:
        harmless = content == reader.good.read_bytes() or name in KEEPS or name in ("import .pth", "--resume")
        tally.right += harmless
        tally.wrong += [] if harmless else [f"{name}, {form}: was read"]
    seconds, kilobytes = time.process_time() - begin, peak() - before
    if seconds > SECONDS or kilobytes > KILOBYTES:
        tally.wrong.append(f"{name}, {form}: took {seconds:.1f} s and {kilobytes / 1024:.0f} MB")


def test_every_reader_answers_every_hostile_file_in_a_sentence(
    readers: Mapping[str, Reader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given) or [])
    monkeypatch.chdir(tmp_path)
    for reader in readers.values():
        reader.read(reader.good)  # what is kept once networks are known is not counted
    attempt("import .pth", readers["import .pth"], "", saved({"model.bn1.weight": torch.ones(3)}), tmp_path, Tally(""))
    pairs = [(name, form) for name, reader in readers.items() for form in reader.forms]
    rng = generator("weights")
    with tallied("weights") as tally:
        for number in range(trials(whole=4 * len(pairs), sample=12)):
            if number % len(pairs) == 0:
                rng.shuffle(pairs)
            name, form = pairs[number % len(pairs)]
            reader = readers[name]
            attempt(name, reader, form, reader.forms[form](reader.good.read_bytes(), rng), tmp_path, tally)
        tally.wrong += [f"asked the network for {given}" for given in asked]
        tally.wrong += ["the canary sang"] if hostile_weights.SUNG.exists() else []


def test_the_canary_would_have_sung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile_weights, "SUNG", tmp_path / "sung")
    torch.load(write(tmp_path / "a", ANY["a checkpoint that sings"](b"", generator("weights"))), weights_only=False)
    assert (tmp_path / "sung").exists()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
