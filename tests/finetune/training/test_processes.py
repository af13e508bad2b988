"""Several processes that fine-tune as one have its loss, its gradients, its weights and its scores.

The processes are started once. Each runs this file, takes its part of every training's batches and of the images that
are scored, and leaves what came of it in a folder; the tests read from there. DERMSSL_FINETUNE_TABLE names a file for
the table in docs/.
"""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from processes.together import apart, in_doubles, start_together
from torch import Tensor

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.parallel import own_part, synced, world
from dermssl.training.optimise import optimiser
from dermssl.weights.encoder import Normalise
from finetune.augmentation.fit import Fit
from finetune.losses.sum import loss_of
from finetune.network.build import build_model
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import decoder_options_of
from finetune.options.loss import LOSSES
from finetune.options.training_length import Schedule
from finetune.scoring.image_scores import own_images, score
from finetune.scoring.inference import Cut, Predictor, TorchSegmenter
from finetune.scoring.threshold import threshold_curve
from finetune.training.inner_part import mean_iou
from finetune.training.range_test import TrialSteps, range_test, sharing_gradients
from finetune.training.segment import Segment
from finetune.training.training_schedule import parameter_groups

WORLDS = (2, 4) if "DERMSSL_FINETUNE_TABLE" in os.environ else (2,)
BATCH, SIDE = 8, 32
SHARE = 1e-4  # of the norm of all tensors, below which one of them is next to nothing
PATIENCE = timedelta(seconds=900)  # with a process that never comes
TINY = "tu-test_efficientnet"
OVER_BATCH = ("dice", "jaccard", "tversky", "lovasz", "mcc")
SUMS = [*((loss, "image") for loss in LOSSES), *((loss, "batch") for loss in OVER_BATCH)]
DECODERS: dict[str, dict[str, Any]] = {  # the last two drop maps at random, and the last leaves some weights idle
    "unet": {"decoder_channels": (16, 8, 8, 8, 4)},
    "fpn": {"decoder_channels": (16,)},
    "pspnet": {"decoder_channels": (16,)},
}
OTHERS: dict[str, dict[str, Any]] = {
    "a sum of losses": {"loss": "dice+0.5*bce", "loss_over": "batch"},
    "a frozen encoder": {"freeze": True},
    "timm's dropped paths": {"encoder": "mit_b0"},
    "smp's dropped paths": {"encoder": "efficientnet-b0", "encoder_depth": 4},
    "dropped pixels": {"decoder": "deeplabv3plus"},
}
TRAININGS = {name: options | {"decoder": name} for name, options in DECODERS.items()} | OTHERS
RATES = "--lr auto"

Outcome = dict[str, dict[str, Tensor]]
Scored = dict[str, Any]


def draw_batch(step: int) -> tuple[Tensor, Tensor]:
    """Squares on noise, of every size from none to much; of each process other ones."""
    rng = torch.Generator().manual_seed(step)
    masks = torch.zeros(BATCH, 1, SIDE, SIDE, dtype=torch.uint8)
    for index in range(BATCH):
        masks[index, :, step : step + 3 * index, 3 : 3 + 4 * index] = 1
    images = torch.randint(100, 255, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng)
    return images // (1 + masks), masks.double()  # bce takes its target's precision


def segment(**options: Any) -> Segment:
    """A network as its training begins, the same in every process."""
    torch.manual_seed(0)
    config = FinetuneConfig(image_size=SIDE, lr=1e-3, ema=0.9, **({"encoder": TINY} | options))
    network = build_model(config.encoder, config.decoder, decoder_options_of(config))
    ordinary = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Segment(synced(network) if world() > 1 else network, ordinary, config, Schedule(len(SUMS)))


def outcome(name: str) -> Outcome:
    """Losses and gradients of every step, and what a checkpoint would hold; of large tensors a sample.

    A step lowers one of the losses, each in its turn, or the one loss that the options say, twice.
    """
    module = segment(**TRAININGS[name])
    stepping = TrialSteps(module.train())
    together = sharing_gradients(stepping) if world() > 1 else stepping
    adamw = optimiser("adamw", parameter_groups(module.model, module.config, module.schedule, SIDE), 1e-3)
    came: Outcome = {}
    for step, (loss, over) in enumerate(SUMS if name in DECODERS else SUMS[:2]):
        if name in DECODERS:
            module.loss = loss_of(replace(module.config, loss=loss, loss_over=over))
        images, masks = draw_batch(step)
        torch.manual_seed(step)
        adamw.zero_grad()
        value = together(own_part(images), own_part(masks))
        value.backward()
        gradients = {n: sample(p.grad) for n, p in module.model.named_parameters() if p.grad is not None}
        came |= {f"loss {step}": {"": value.detach()}, f"gradient {step}": gradients}
        adamw.step()
        module.average.follow(module.model, step + 1)
    return came | {"state": {n: sample(tensor) for n, tensor in module.state_dict().items()}}


def curve_of_rates() -> Outcome:
    """The losses of a range test of twenty rates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.training.range_test.RATES", np.geomspace(1e-6, 1e-2, 20))
        batches = [tuple(map(own_part, draw_batch(step))) for step in range(3)]
        curve = range_test(segment(decoder="fpn"), batches, torch.device("cpu"))
    return {"curve": {"": torch.tensor(curve["loss"].to_numpy())}}


def sample(tensor: Tensor) -> Tensor:
    """At least 200 of the tensor's numbers, if it has as many, from its first to its last."""
    return tensor.detach().flatten()[:: max(1, tensor.numel() // 200)].clone()


def scored(photographs: Path) -> Scored:
    """What is made of the same network by as many processes as there are."""
    model = segment(decoder="fpn").model.float()
    model.segmentation_head[0].weight.data.mul_(30)
    images = read_manifest(photographs)
    pixels = cached_images(images, 40)
    normalise = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    predictor = Predictor(TorchSegmenter(model, normalise), Fit("resize", 32, "skin"), batch_size=3)
    cut = Cut(0.5)
    found = score(predictor, cut, images, pixels)
    own, pictures = own_images(images, pixels)
    probabilities = predictor.probabilities(lambda i: np.asarray(pictures[i]), own.native_sizes)
    curve = threshold_curve((found for _, found in probabilities), map(own.lesion, range(len(own))))
    iou = mean_iou(predictor, cut, images, pixels)
    return {"table": found.table, "calibration": found.calibration, "masks": found.masks, "curve": curve, "iou": iou}


def take_part(folder: Path, photographs: Path, rank: int, processes: int) -> None:
    """Does all of it with the other processes, and leaves what came of it in the folder."""
    meeting = f"file://{folder}/meeting-{processes}"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes, timeout=PATIENCE)
    came: dict[str, Any] = {"scores": scored(photographs)}
    with in_doubles():
        came |= {name: outcome(name) for name in TRAININGS} | {RATES: curve_of_rates()}
    torch.save(came, folder / f"came.{processes}.{rank}")
    dist.destroy_process_group()


def differences(alone: Outcome, together: list[Outcome]) -> dict[str, float]:
    """By step, and at the end: between the processes and one, of their mean loss, and of what each has."""
    gaps = {}
    for part, expected in alone.items():
        ours = [process[part] for process in together]
        if part.startswith("loss"):
            ours = [{"": torch.stack([each[""] for each in ours]).mean(dim=0)}]
        gaps[part] = max(apart(each, expected, SHARE) for each in ours)
    return gaps


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> dict[int, list[dict[str, Any]]]:
    """What each process left, by number of processes; with one it is this one."""
    folder = tmp_path_factory.mktemp("processes")
    given = [{"folder": folder, "photographs": photographs, "rank": rank} for rank in range(max(WORLDS))]
    assert set(start_together(__file__, given, ["finetune.training.loop"])) == {0}
    alone: dict[str, Any] = {"scores": scored(photographs)}
    with in_doubles():
        alone |= {name: outcome(name) for name in TRAININGS} | {RATES: curve_of_rates()}
    left = {
        processes: [torch.load(folder / f"came.{processes}.{rank}", weights_only=False) for rank in range(processes)]
        for processes in WORLDS
    }
    return {1: [alone], **left}


def table(gaps: dict[tuple[str, int], dict[str, float]]) -> str:
    """The larger difference of loss and gradient in Markdown, and that of the weights and averages at the end."""
    lines = ["| loss | processes | " + " | ".join(DECODERS) + " |", "|---" * (2 + len(DECODERS)) + "|"]
    names = [loss if over == "image" else f"{loss} over the batch" for loss, over in SUMS]
    steps = {name: (f"loss {step}", f"gradient {step}") for step, name in enumerate(names)}
    for name, parts in (steps | {"weights after all": ("state",)}).items():
        for processes in WORLDS:
            cells = [f"{max(gaps[decoder, processes][part] for part in parts):.0e}" for decoder in DECODERS]
            lines.append(f"| {name} | {processes} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_processes_together_are_one_process_with_the_whole_batch(came: dict[int, list[dict[str, Any]]]) -> None:
    (alone,) = came[1]
    gaps = {
        (name, processes): differences(alone[name], [each[name] for each in came[processes]])
        for name in (*TRAININGS, RATES)
        for processes in WORLDS
    }
    if "DERMSSL_FINETUNE_TABLE" in os.environ:
        Path(os.environ["DERMSSL_FINETUNE_TABLE"]).write_text(table(gaps))
    assert {pair: of for pair, of in gaps.items() if not max(of.values()) < 1e-8} == {}


@pytest.mark.slow
@pytest.mark.parametrize("processes", WORLDS)
def test_scores_of_shared_images_are_those_of_one_process_to_the_bit(
    processes: int, came: dict[int, list[dict[str, Any]]]
) -> None:
    alone = came[1][0]["scores"]
    assert 0.02 < alone["iou"] < 0.98
    for each in came[processes]:
        for name in ("table", "calibration", "curve"):
            assert each["scores"][name].equals(alone[name]), name
        assert [tuple(masks) for masks in each["scores"]["masks"]] == [tuple(masks) for masks in alone["masks"]]
        assert each["scores"]["iou"] == alone["iou"]


if __name__ == "process":  # `folder`, `photographs` and `rank` are given by the fixture
    torch.set_num_threads(1)
    for processes in WORLDS:
        if rank < processes:  # type: ignore[name-defined]  # noqa: F821
            take_part(folder, photographs, rank, processes)  # type: ignore[name-defined]  # noqa: F821
