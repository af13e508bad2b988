"""Checkpoints as other libraries write them: the encoder that the library judges is found, and no other."""

import argparse
import copy
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, DINOProjectionHead, SimCLRProjectionHead
from omegaconf import OmegaConf
from safetensors.torch import save_file
from torch import Tensor, nn

from dermssl.exchange.candidates import choose_encoder, origin_of
from dermssl.exchange.foreign import read_foreign_checkpoint
from dermssl.exchange.recognise import EncoderLayout, encoders_in, layout_of

State = dict[str, Tensor]
Draw = Callable[[State, State], Any]
ENCODER = "resnet18"

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # of lightly's head


@pytest.fixture(scope="module")
def judged() -> State:
    """The tensors that are to be found: torchvision's resnet18 with its classifier."""
    return drawn(0)


@pytest.fixture(scope="module")
def other() -> State:
    """Those of a second encoder in the same file, with other values."""
    return drawn(1)


@pytest.fixture(scope="module")
def layout() -> EncoderLayout:
    return layout_of(ENCODER)


def drawn(seed: int) -> State:
    """One number a tensor, in all its places, so that the files stay small."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        like = torchvision.models.resnet18().state_dict()
    return {
        name: (torch.rand((), generator=generator) * 100).to(tensor.dtype).expand(tensor.shape)
        for name, tensor in like.items()
    }


def numbers(state: Mapping[str, Tensor]) -> dict[str, float]:
    """The number that each tensor holds."""
    return {name: tensor[(0,) * tensor.ndim].item() for name, tensor in state.items()}


def body(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def at(prefix: str, state: Mapping[str, Tensor]) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def linear(name: str) -> State:
    return {f"{name}.weight": torch.zeros(3, 4), f"{name}.bias": torch.zeros(3)}


def momenta(state: State) -> dict[str, Any]:
    """What SGD keeps, as `optimizer.state_dict()` gives it."""
    held = {index: {"momentum_buffer": torch.zeros(2)} for index in range(len(state))}
    return {"state": held, "param_groups": [{"lr": 0.1, "params": list(held)}]}


def network(state: State) -> nn.Module:
    model = torchvision.models.resnet18()
    model.load_state_dict(state)
    return model


def numbered(state: State) -> nn.Module:
    """The encoder as lightly's examples build it."""
    return nn.Sequential(*list(network(state).children())[:-1])


def by_lightning(module: pl.LightningModule) -> dict[str, Any]:
    """What Lightning itself writes for a module, optimiser and hyper-parameters included."""
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
    module.trainer = trainer
    trainer.strategy.connect(module)
    trainer.strategy.setup_optimizers(trainer)
    return dict(trainer._checkpoint_connector.dump_checkpoint())


def moco_v1(judged: State, other: State) -> Any:
    encoders = at("module.encoder_q.", judged) | at("module.encoder_k.", other)
    queue = {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": encoders | queue, "optimizer": momenta(judged)}


def moco_v2(judged: State, other: State) -> Any:
    content = moco_v1(body(judged), body(other))
    for side in "qk":
        content["state_dict"] |= linear(f"module.encoder_{side}.fc.0") | linear(f"module.encoder_{side}.fc.2")
    return content


def moco_v3(judged: State, other: State) -> Any:
    encoders = at("module.base_encoder.", body(judged)) | at("module.momentum_encoder.", body(other))
    heads = linear("module.base_encoder.fc.0") | linear("module.momentum_encoder.fc.0") | linear("module.predictor.0")
    return {"epoch": 1, "arch": "resnet18", "state_dict": encoders | heads, "optimizer": {}, "scaler": {"scale": 1.0}}


def dino(judged: State, other: State) -> Any:
    return {
        "student": at("module.backbone.", body(other)) | linear("module.head.mlp.0"),
        "teacher": at("module.backbone.", body(judged)) | linear("module.head.mlp.0"),
        "optimizer": momenta(other),
        "epoch": 800,
        "args": argparse.Namespace(arch="resnet18", data_path=Path("train"), lr=np.float64(0.03)),
        "dino_loss": {"center": torch.zeros(1, 60)},
    }


def vissl(judged: State, other: State) -> Any:
    model = {"trunk": at("_feature_blocks.", body(judged)), "heads": linear("0.clf.0")}
    classy = {
        "train": True, "base_model": {"model": model, "meta": {"trunk": {}, "heads": []}}, "losses": [1.0, 2.0],
        "meters": [defaultdict(list, {"top_1": [0.5]})], "optimizer": momenta(judged), "train_phase_idx": 9,
    }  # fmt: skip
    return {"phase_idx": 9, "iteration": 90, "loss": {}, "iteration_num": 90, "classy_state_dict": classy}


def vissl_moco(judged: State, other: State) -> Any:
    content = vissl(judged, other)
    content["loss"] = at("moco_encoder.trunk._feature_blocks.", body(other)) | {"queue": torch.zeros(16, 128)}
    return content


def vissl_dino(judged: State, other: State) -> Any:
    content = vissl(other, judged)
    content["loss"] = at("momentum_teacher.module.trunk._feature_blocks.", body(judged)) | {"center": torch.zeros(1, 6)}
    return content


def vissl_published(judged: State, other: State) -> Any:
    return {"model_state_dict": at("_feature_blocks.", body(judged))}


def solo_learn(judged: State, other: State) -> Any:
    tensors = at("backbone.", body(judged)) | linear("classifier") | linear("projector.0")
    more = {"optimizer_states": [momenta(judged)], "lr_schedulers": [], "loops": {"fit_loop": {"state_dict": {}}}}
    return {"epoch": 1, "global_step": 9, "pytorch-lightning_version": "2.0", "state_dict": tensors, **more}


def solo_learn_byol(judged: State, other: State) -> Any:
    content = solo_learn(judged, other)
    content["state_dict"] |= at("momentum_backbone.", body(other)) | linear("momentum_projector.0")
    content["hyper_parameters"] = OmegaConf.create({"name": "byol", "backbone": {"name": "resnet18"}, "lr": [0.1]})
    return content


class LightlySimCLR(pl.LightningModule):
    """As lightly's example of SimCLR."""

    def __init__(self, encoder: nn.Module, lr: float = 0.06) -> None:
        super().__init__()
        self.save_hyperparameters("lr")
        self.backbone = encoder
        self.projection_head = SimCLRProjectionHead(512, 64, 16)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.06)


class LightlyBYOL(LightlySimCLR):
    """As lightly's example of BYOL."""

    def __init__(self, encoder: nn.Module, momentum: nn.Module) -> None:
        super().__init__(encoder)
        self.projection_head = BYOLProjectionHead(512, 64, 16)
        self.prediction_head = BYOLPredictionHead(16, 64, 16)
        self.backbone_momentum = momentum
        self.projection_head_momentum = copy.deepcopy(self.projection_head)


class LightlyDINO(pl.LightningModule):
    """As lightly's example of DINO."""

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.student_backbone = student
        self.student_head = DINOProjectionHead(512, 64, 16, 32, freeze_last_layer=1)
        self.teacher_backbone = teacher
        self.teacher_head = DINOProjectionHead(512, 64, 16, 32)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())


def lightly_simclr(judged: State, other: State) -> Any:
    return by_lightning(LightlySimCLR(numbered(judged)))


def lightly_byol(judged: State, other: State) -> Any:
    return by_lightning(LightlyBYOL(numbered(judged), numbered(other)))


def lightly_dino(judged: State, other: State) -> Any:
    return by_lightning(LightlyDINO(numbered(judged), numbered(other)))


def lightly_benchmark_dino(judged: State, other: State) -> Any:
    tensors = at("backbone.", body(judged)) | at("student_backbone.", body(other)) | linear("student_projection_head.0")
    return {"state_dict": tensors, "hyper_parameters": {"batch_size_per_device": 128}}


def lightly_benchmark_moco(judged: State, other: State) -> Any:
    return {
        "state_dict": at("backbone.", body(judged)) | at("key_backbone.", body(other)) | linear("online_classifier")
    }


def lightly_train_export(judged: State, other: State) -> Any:
    return OrderedDict(judged)


def lightly_train_embedding(judged: State, other: State) -> Any:
    return at("wrapped_model._features.", body(judged)) | linear("embed_head")


def lightly_train_dino(judged: State, other: State) -> Any:
    inner = "embedding_model.wrapped_model._features."
    return {"state_dict": at(f"teacher_{inner}", body(judged)) | at(f"student_{inner}", body(other))}


def timms(state: State) -> State:
    """The tensors as torchgeo's trainers hold them: of timm's network without classifier."""
    with torch.device("meta"):
        return {name: state[name] for name in timm.create_model("resnet18", num_classes=0).state_dict()}


def torchgeo_simclr(judged: State, other: State) -> Any:
    tensors = (
        at("backbone.", timms(judged)) | linear("projection_head.0") | {"criterion.memory_bank.bank": torch.ones(8)}
    )
    return {"state_dict": tensors, "hyper_parameters": {"model": "resnet18", "in_channels": 3, "version": 2}}


def torchgeo_moco(judged: State, other: State) -> Any:
    return {"state_dict": at("backbone.", timms(judged)) | at("backbone_momentum.", timms(other))}


def torchgeo_byol(judged: State, other: State) -> Any:
    # Its two wrappers hold one and the same encoder, so there is nothing to choose.
    tensors = at("model.backbone.model.", timms(judged)) | at("model.target.model.", timms(judged))
    return {"state_dict": tensors | linear("model.predictor.mlp.0"), "hyper_parameters": {"backbone": "resnet18"}}


def timm_training(judged: State, other: State) -> Any:
    return {
        "epoch": 3, "arch": "resnet18", "state_dict": other, "optimizer": momenta(other), "version": 2,
        "args": argparse.Namespace(model="resnet18", mean=None), "state_dict_ema": judged, "metric": np.float64(70.1),
    }  # fmt: skip


def torchvision_training(judged: State, other: State) -> Any:
    averaged = at("module.", judged) | {"n_averaged": torch.tensor(5)}
    args = argparse.Namespace(model="resnet18", output_dir=Path("out"))
    return {"model": other, "optimizer": momenta(other), "epoch": 1, "args": args, "model_ema": averaged}


def torchvision_weights(judged: State, other: State) -> Any:
    return OrderedDict(judged)


def weights_without_counters(judged: State, other: State) -> Any:
    """As networks of before PyTorch 0.4.1, which kept no count of batches."""
    return {name: tensor for name, tensor in judged.items() if not name.endswith(".num_batches_tracked")}


def smp_network(judged: State, other: State) -> Any:
    network = smp.Unet("resnet18", encoder_weights=None)
    network.encoder.load_state_dict(dict(judged))  # it takes the classifier out of the dict
    return network.state_dict()


def compiled_in_parallel(judged: State, other: State) -> Any:
    """A compiled network in DataParallel, the compiled part being the encoder alone."""
    return {"model": {f"module._orig_mod.encoder._orig_mod.{name}": tensor for name, tensor in body(judged).items()}}


# Where the encoder lies, the words for it, and how its tensors are called there.
TORCHVISION, NUMBERS = "torchvision's names", "torchvision's layers by number"
FORMATS: list[tuple[Draw, str, str, str]] = [
    (moco_v1, "state_dict.module.encoder_q", "moco: query encoder", TORCHVISION),
    (moco_v2, "state_dict.module.encoder_q", "moco: query encoder", TORCHVISION),
    (moco_v3, "state_dict.module.base_encoder", "moco-v3: base encoder", TORCHVISION),
    (dino, "teacher.module.backbone", "DINO: teacher", TORCHVISION),
    (vissl, "classy_state_dict.base_model.model.trunk._feature_blocks", "VISSL: trunk", TORCHVISION),
    (vissl_moco, "classy_state_dict.base_model.model.trunk._feature_blocks", "VISSL: trunk", TORCHVISION),
    (vissl_dino, "loss.momentum_teacher.module.trunk._feature_blocks", "VISSL: teacher", TORCHVISION),
    (vissl_published, "model_state_dict._feature_blocks", "VISSL: trunk", TORCHVISION),
    (solo_learn, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (solo_learn_byol, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (lightly_simclr, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", NUMBERS),
    (lightly_byol, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", NUMBERS),
    (lightly_dino, "state_dict.teacher_backbone", "lightly: teacher", NUMBERS),
    (lightly_benchmark_dino, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (lightly_benchmark_moco, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (lightly_train_export, "the top of the file", "network", TORCHVISION),
    (lightly_train_embedding, "wrapped_model._features", "LightlyTrain: model", TORCHVISION),
    (lightly_train_dino, "state_dict.teacher_embedding_model.wrapped_model._features", "LightlyTrain: teacher",
     TORCHVISION),
    (torchgeo_simclr, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (torchgeo_moco, "state_dict.backbone", "solo-learn, lightly or torchgeo: encoder", TORCHVISION),
    (torchgeo_byol, "state_dict.model.backbone.model", "torchgeo: encoder", TORCHVISION),
    (timm_training, "state_dict_ema", "network", TORCHVISION),
    (torchvision_training, "model_ema.module", "network", TORCHVISION),
    (torchvision_weights, "the top of the file", "network", TORCHVISION),
    (weights_without_counters, "the top of the file", "network", TORCHVISION),
    (smp_network, "encoder", "encoder of a larger model", TORCHVISION),
    (compiled_in_parallel, "model.module.encoder", "encoder of a larger model", TORCHVISION),
]  # fmt: skip


def tensors_taken(path: Path, layout: EncoderLayout, prefix: str | None = None) -> tuple[str, str, str, State]:
    """Where, as what, in which names, and the tensors under torchvision's names, which are smp's for this encoder."""
    checkpoint = read_foreign_checkpoint(path)
    match, _ = choose_encoder(encoders_in(checkpoint, layout, prefix))
    taken = {name: checkpoint.tensors[place] for name, place in match.places.items()}
    return match.where, origin_of(match.prefix).words, str(match.dialect), taken


@pytest.mark.parametrize(("draw", "where", "words", "names"), FORMATS, ids=[row[0].__name__ for row in FORMATS])
def test_each_format_gives_the_encoder_that_its_library_judges(
    draw: Draw, where: str, words: str, names: str, judged: State, other: State, layout: EncoderLayout, tmp_path: Path
) -> None:
    torch.save(draw(judged, other), tmp_path / "checkpoint.pth")
    *told, taken = tensors_taken(tmp_path / "checkpoint.pth", layout)
    assert told == [where, words, names]
    assert numbers(taken) == numbers({name: judged[name] for name in taken})
    assert layout.tensors.keys() - taken.keys() <= layout.spare


@pytest.mark.parametrize("draw", [moco_v2, dino, solo_learn_byol, lightly_byol, timm_training])
def test_the_user_can_take_the_other_encoder(
    draw: Draw, judged: State, other: State, layout: EncoderLayout, tmp_path: Path
) -> None:
    torch.save(draw(judged, other), tmp_path / "checkpoint.pth")
    checkpoint = read_foreign_checkpoint(tmp_path / "checkpoint.pth")
    _, [(left, _)] = choose_encoder(encoders_in(checkpoint, layout))
    *_, taken = tensors_taken(tmp_path / "checkpoint.pth", layout, left.where)
    assert numbers(taken) == numbers(body(other))


def test_one_file_fits_the_encoder_of_smp_and_that_of_timm(judged: State, other: State, tmp_path: Path) -> None:
    torch.save(torchgeo_simclr(judged, other), tmp_path / "checkpoint.ckpt")
    *_, taken = tensors_taken(tmp_path / "checkpoint.ckpt", layout_of("tu-resnet18"))
    assert numbers(taken) == numbers(at("model.", body(judged)))


def test_safetensors_are_read_as_pickles_are(judged: State, layout: EncoderLayout, tmp_path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in judged.items()}, tmp_path / "model.safetensors")
    *_, taken = tensors_taken(tmp_path / "model.safetensors", layout)
    assert numbers(taken) == numbers(body(judged))


def test_files_from_before_zip_are_read(judged: State, other: State, layout: EncoderLayout, tmp_path: Path) -> None:
    torch.save(dino(judged, other), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    where, *_ = tensors_taken(tmp_path / "old.pth", layout)
    assert where == "teacher.module.backbone"
