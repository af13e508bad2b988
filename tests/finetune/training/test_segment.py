"""What a training moves: frozen encoders, thawed ones, averages; with Lightning, on drawn squares."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dermssl.training.checkpoint import Checkpoints, newest_whole
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress, fit
from dermssl.weights.encoder import Normalise
from finetune.network.build import assemble
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.training.segment import Segment

SIDE, BATCH, PER_EPOCH = 64, 2, 3
TINY = "tu-test_efficientnet"
ENCODERS = ["resnet18", "tu-tf_efficientnet_lite0", "tu-convnext_atto", "mit_b0", "tu-test_vit3"]
ACCEPTED = {"tu-test_vit3": ["dpt"], "mit_b0": ["fpn", "segformer"]}  # mit's Linknet is none that smp builds
DECODERS = ["unet", "fpn", "linknet"]
PAIRS = [(encoder, decoder) for encoder in ENCODERS for decoder in ACCEPTED.get(encoder, DECODERS)]
HEAVY = [("densenet121", "unet"), ("efficientnet-b0", "pspnet"), ("mobileone_s0", "deeplabv3plus"),
         ("tu-mobilenetv3_small_050", "manet"), ("tu-swinv2_cr_tiny_ns_224", "upernet")]  # fmt: skip

State = dict[str, Tensor]

pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training")  # on purpose


def squares(count: int, side: int = SIDE) -> list[tuple[Tensor, Tensor]]:
    """Batches of dark squares on noise, uint8."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(100, 255, (count, BATCH, 3, side, side), dtype=torch.uint8, generator=rng)
    masks = torch.zeros(count, BATCH, 1, side, side, dtype=torch.uint8)
    masks[..., side // 4 : side // 2, side // 4 : side // 2] = 1
    return list(zip(images // (1 + masks * 2), masks, strict=True))


def segment(encoder: str = TINY, decoder: str = "unet", schedule: Schedule | None = None, **more: object) -> Segment:
    torch.manual_seed(0)
    config = FinetuneConfig(encoder=encoder, decoder=decoder, image_size=SIDE, **({"lr": 1e-2} | more))
    ordinary = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Segment(assemble(encoder, decoder, {}), ordinary, config, schedule or Schedule(6))


def train(module: Segment, steps: int, *callbacks: Callback, resume: Path | None = None) -> None:
    loader: DataLoader[object] = DataLoader(squares(PER_EPOCH), batch_size=None)
    fit(module, loader, steps=steps, precision="32-true", callbacks=callbacks, resume=resume)


def copied(module: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(module: nn.Module, before: State) -> set[str]:
    after = module.state_dict()
    assert after.keys() == before.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def assert_frozen(encoder: str, decoder: str) -> None:
    module = segment(encoder, decoder, freeze=True)
    buffers = {name: buffer.clone() for name, buffer in module.encoder.named_buffers()}  # those of no checkpoint too
    before, whole = copied(module.encoder), copied(module.model)
    images = module.normalise(squares(1)[0][0])
    at_rest = [stage.clone() for stage in flat(module.eval().encoder(images))]
    train(module.train(), 2)
    assert moved(module.encoder, before) == set()
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in module.encoder.named_buffers())
    assert moved(module.model, whole)  # the decoder learned
    module.train()
    assert module.model.decoder.training
    for mode in (True, False):
        for ours, theirs in zip(flat(module.train(mode).encoder(images)), at_rest, strict=True):
            assert torch.equal(ours, theirs)
            assert not ours.requires_grad  # so there is no graph to go back through


def flat(features: object) -> list[Tensor]:
    """The tensors of what an encoder gives, class tokens among them."""
    if isinstance(features, Tensor):
        return [features]
    return [] if features is None else [tensor for part in features for tensor in flat(part)]


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_a_frozen_training_leaves_every_tensor_and_buffer_of_the_encoder(encoder: str, decoder: str) -> None:
    assert_frozen(encoder, decoder)


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "decoder"), HEAVY)
def test_a_frozen_training_leaves_larger_encoders_as_well(encoder: str, decoder: str) -> None:
    assert_frozen(encoder, decoder)


@pytest.mark.parametrize("encoder", ["resnet18", "mit_b0"])
def test_without_freezing_batchnorm_and_droppath_would_move(encoder: str) -> None:
    module = segment(encoder, "fpn")
    before = copied(module.encoder)
    images = module.normalise(squares(1)[0][0])
    at_rest = module.eval().encoder(images)[-1]
    assert not torch.equal(module.train().encoder(images)[-1], at_rest)
    train(module, 2)
    assert moved(module.encoder, before)


def test_lightning_sees_a_frozen_encoder_in_eval_mode_at_every_step() -> None:
    modes: list[tuple[bool, bool]] = []

    class Watching(Callback):
        def on_train_batch_start(self, trainer: object, pl_module: Segment, batch: object, batch_idx: int) -> None:
            modes.append((any(part.training for part in pl_module.encoder.modules()), pl_module.model.decoder.training))

    train(segment(freeze=True), 4, Watching())
    assert modes == [(False, True)] * 4


def test_a_thawed_encoder_trains_from_its_step_on() -> None:
    module = segment(schedule=Schedule(6, thaw=4), freeze=True, thaw_after=1)
    before = copied(module.encoder)
    found: list[tuple[int, bool, bool]] = []

    class Watching(Callback):
        def on_train_batch_end(self, trainer: object, pl_module: Segment, *_: object) -> None:
            still = not moved(pl_module.encoder, before)
            found.append((trainer.global_step, still, pl_module.encoder.training))

    train(module, 6, Watching())
    assert found == [(step, step <= 4, step > 4) for step in range(1, 7)]
    weights = {name for name, parameter in module.encoder.named_parameters()}
    assert weights <= moved(module.encoder, before)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [3, 6])  # ends of epochs, where checkpoints are; the thaw lies between them
def test_a_training_resumed_on_either_side_of_the_thaw_ends_with_the_same_bits(tmp_path: Path, stop: int) -> None:
    def made() -> Segment:
        return segment(
            schedule=Schedule(9, thaw=4), freeze=True, thaw_after=1, ema=0.9, layer_decay=0.7, encoder_lr=3e-3
        )

    unbroken, broken, resumed = made(), made(), made()
    train(unbroken, 9, CountedRandomness(0), Checkpoints(tmp_path / "unbroken", {}))
    with pytest.raises(KeyboardInterrupt):
        train(broken, 9, CountedRandomness(0), Checkpoints(tmp_path / "broken", {}), stopping(stop + 1))
    state = newest_whole(tmp_path / "broken")
    assert state is not None
    assert state.parent.name == f"step-{stop}"
    train(resumed, 9, CountedRandomness(0), Checkpoints(tmp_path / "resumed", {}), resume=state)
    assert moved(resumed, copied(unbroken)) == set()
    ours, theirs = (
        torch.load(newest_whole(tmp_path / name), weights_only=True)["optimizer_states"][0]
        for name in ("resumed", "unbroken")
    )
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys()
    for key, state in ours["state"].items():
        assert all(torch.equal(state[name], theirs["state"][key][name]) for name in state)


def stopping(step: int) -> Callback:
    """Ctrl-C before that step, after the checkpoint of the steps before it."""

    class Stopping(Callback):
        def on_train_batch_start(self, trainer: object, *_: object) -> None:
            if trainer.global_step == step:
                raise KeyboardInterrupt

    return Stopping()


def test_what_is_scored_and_published_is_the_average_where_one_is_kept() -> None:
    plain, averaged = segment(), segment(ema=0.9)
    assert plain.trained is plain.model
    assert averaged.trained is not averaged.model
    seen: list[State] = []

    class Watching(Callback):
        def on_train_batch_end(self, trainer: object, pl_module: Segment, *_: object) -> None:
            seen.append(copied(pl_module.model))

    train(averaged, 6, Watching())
    mean = copied(averaged.trained)
    wanted: State = {}
    for step, state in enumerate(seen, start=1):
        kept = min(0.9, (step - 1) / (step + 8))
        wanted = {name: kept * wanted.get(name, 0) + (1 - kept) * tensor.double() for name, tensor in state.items()}
    assert len(seen) == 6
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, wanted[name].float(), rtol=1e-4, atol=1e-6)
    assert moved(averaged.model, mean)


def test_the_average_changes_nothing_of_the_training() -> None:
    plain, averaged = segment(), segment(ema=0.9)
    train(plain, 5)
    train(averaged, 5)
    assert moved(averaged.model, copied(plain.model)) == set()


def test_the_rates_of_a_training_are_those_of_its_options(tmp_path: Path) -> None:
    module = segment(lr=1e-2, encoder_lr=1e-3, layer_decay=0.5, warmup=0.0)
    rates: list[list[float]] = []

    class Watching(Callback):
        def on_train_batch_start(self, trainer: object, *_: object) -> None:
            rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])

    train(module, 6, Watching(), Progress(tmp_path / "metrics.csv", BATCH, say=lambda _: None))
    peaks = [1e-2] + [1e-3 / 2**distance for distance in (4, 3, 2, 1, 0)]
    assert rates[0][::2] == pytest.approx(peaks) == rates[0][1::2]  # with and without weight decay
    shares = torch.tensor(rates) / torch.tensor(rates[0])  # one schedule multiplies all
    assert torch.allclose(shares, shares[:, :1].expand_as(shares))
    assert shares[:, 0].tolist() == pytest.approx([(1 + math.cos(math.pi * step / 5)) / 2 for step in range(6)])


def test_the_loss_is_the_one_of_the_options() -> None:
    losses: dict[str, Callable[..., Tensor]] = {}
    batch = squares(1)[0]
    for name in ("dice", "bce"):
        module = segment(loss=name).eval()
        losses[name] = module.training_step(batch, 0)["loss"]
    both = segment(loss="dice+bce").eval().training_step(batch, 0)
    assert both["loss"].item() == pytest.approx(losses["dice"].item() + losses["bce"].item(), rel=1e-6)
