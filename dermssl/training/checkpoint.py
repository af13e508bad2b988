"""Checkpoints of training: one folder each, its manifest of hashes written last, the two newest kept."""

import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from dermssl.errors import UserError
from dermssl.files import sha256_of, whole_folder, write_json
from dermssl.parallel import of_the_first, rank, world
from dermssl.training.device import Precision
from dermssl.weights.tensor_file import in_a_short_line, is_finite

# What Lightning writes and reads back, and of what kind each is.
PARTS: Mapping[str, type] = {
    "pytorch-lightning_version": str, "epoch": int, "global_step": int, "state_dict": dict, "loops": dict,
    "callbacks": dict, "optimizer_states": list, "lr_schedulers": list,
}  # fmt: skip
STATE, MANIFEST = "state.ckpt", "manifest.json"
KEPT = 2


def newest_whole(folder: Path) -> Path | None:
    """The state file of the newest checkpoint in `folder` whose hashes hold, or None; damaged ones are passed over."""
    steps = sorted(folder.glob("step-*"), key=step_of, reverse=True)
    return next((step / STATE for step in steps if is_whole_checkpoint(step)), None)


def context_of(state: Path) -> dict[str, object]:
    """What was noted with the checkpoint of this state file: its epochs, threads and precision."""
    return dict(json.loads((state.parent / MANIFEST).read_text()))


def step_of(folder: Path) -> int:
    """The number in `step-N`."""
    return int(folder.name.removeprefix("step-"))


def is_whole_checkpoint(step: Path) -> bool:
    """Whether the manifest lists the state, and every file that it lists is there with its size and hash."""
    try:
        entries = json.loads((step / MANIFEST).read_text())["files"]
        return STATE in entries and all(
            (step / name).stat().st_size == entry["size"] and sha256_of(step / name) == entry["sha256"]
            for name, entry in entries.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


class StateFile(TorchCheckpointIO):
    """Writes a state straight to where it is to stand.

    Lightning's own takes the way through the folder for temporary files, which may be small, and where a killed process
    leaves the whole state for nobody to sweep.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes the file; the folder is there."""
        content = io.BytesIO()  # torch's own way to a file tells of a full disk in riddles
        torch.save(checkpoint, content)
        Path(path).write_bytes(content.getbuffer())


class Checkpoints(Callback):
    """Saves the full state of training: model, optimiser, schedule and position.

    Args:
        folder: Of the checkpoints.
        context: What is noted with each, beside its epochs.
        every: Steps between those inside an epoch; 0 saves at the end of epochs alone.
    """

    def __init__(self, folder: Path, context: dict[str, object], every: int = 0) -> None:
        self.folder, self.context, self.every = folder, context, every

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Saves between two steps; Lightning counts a step as done only after its own hooks at a step's end."""
        if self.every and batch_idx and trainer.global_step % self.every == 0:
            self.save(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves at the end of every epoch."""
        self.save(trainer, trainer.current_epoch + 1)

    def save(self, trainer: Trainer, epochs: int) -> None:
        """Writes `step-N`, then removes all but the two newest; every process must call it."""
        step = self.folder / f"step-{trainer.global_step}"
        if of_the_first(rank() == 0 and is_whole_checkpoint(step)):  # it is the one that this training resumed from
            return
        if rank() > 0:
            trainer.save_checkpoint(step, weights_only=False)  # writes nothing here, but the first process waits for it
            return
        if step.exists():  # a damaged one: training went on from an older checkpoint
            shutil.rmtree(step)
        with whole_folder(step) as part:
            trainer.save_checkpoint(part / STATE, weights_only=False)
            state = {"size": (part / STATE).stat().st_size, "sha256": sha256_of(part / STATE)}
            write_json(part / MANIFEST, {"files": {STATE: state}, "epochs": epochs} | self.context)
        for old in sorted(self.folder.glob("step-*"), key=step_of)[:-KEPT]:
            shutil.rmtree(old)


def refuse_other_state(state: Path, module: LightningModule) -> None:
    """Stops at a state that this training never wrote, though its hash is right: file and manifest were replaced.

    Raises:
        UserError: If it is no state of Lightning's, is one of another network, or holds NaN or infinity.
    """
    try:
        content = torch.load(state, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a stranger's bytes can make torch's reader raise anything
        raise UserError(
            replaced(state, in_a_short_line(str(error).partition(". ")[0]) or type(error).__name__)
        ) from error
    parts = content if isinstance(content, dict) else {}
    absent = [key for key, kind in PARTS.items() if not isinstance(parts.get(key), kind)]
    if absent:
        raise UserError(replaced(state, f"its '{absent[0]}' is missing or of another kind"))
    own, theirs = module.state_dict(), parts["state_dict"]
    alien = own.keys() ^ theirs.keys()
    shapes = {name: tensor.shape for name, tensor in theirs.items() if isinstance(tensor, Tensor)}
    culprit = min(map(str, alien)) if alien else next((n for n in own if own[n].shape != shapes.get(n)), None)
    if culprit is not None:
        raise UserError(replaced(state, f"'{in_a_short_line(culprit)}' is not as in the network"))
    broken = next((name for name, tensor in theirs.items() if not is_finite(tensor)), None)
    if broken is not None:
        raise UserError(replaced(state, f"'{broken}' holds NaN or infinity"))


def replaced(state: Path, reason: str) -> str:
    """What to say of a checkpoint that training cannot go on from, and how it goes on from the one before."""
    return (
        f"{state}: no state of this training ({reason}); remove {state.parent}, and the same command goes on from the "
        "checkpoint before, or from the start"
    )


def precision_of_checkpoint(state: Path) -> str:
    """The precision that was noted with a checkpoint.

    Raises:
        UserError: If it is none that networks are trained in here.
    """
    precision = context_of(state).get("precision")
    if precision not in get_args(Precision):
        raise UserError(replaced(state, f"it was trained in the precision {in_a_short_line(str(precision))!r}"))
    return str(precision)


def position(state: Path | None) -> int:
    """The step that a checkpoint's state was saved after; 0 where there is none."""
    return 0 if state is None else step_of(state.parent)


def context_changes(state: Path, now: dict[str, object]) -> list[str]:
    """What differs from when the state was saved: each of these lets its continuation end with other bits."""
    then = context_of(state)
    return [f"{name} {then[name]} then, {value} now" for name, value in now.items() if then.get(name, value) != value]


def context_now(device: torch.device, precision: str) -> dict[str, object]:
    """What the last bits of a training depend on beside its options, noted with each checkpoint."""
    return {
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": world(),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "layout": "channels_last",
    }


def resuming(newest: Path, context: dict[str, object]) -> str:
    """Where training goes on, and whether it can end with the bits that an uninterrupted one would have."""
    differing = context_changes(newest, context)
    bits = f"; its last bits may differ from an unbroken run's: {', '.join(differing)}" if differing else ""
    return f"resuming: after step {position(newest)}{bits}"
