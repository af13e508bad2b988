"""Checkpoints: the newest whole one is found whatever happened to the others, and two are kept."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dermssl.errors import UserError
from dermssl.training.checkpoint import (
    MANIFEST,
    STATE,
    Checkpoints,
    context_changes,
    newest_whole,
    position,
    refuse_other_state,
)


def save(folder: Path, step: int, state: bytes = b"state", error: Exception | None = None) -> None:
    """What Lightning has the callback do at the end of an epoch."""

    def save_checkpoint(path: Path, weights_only: bool) -> None:
        assert not weights_only
        path.write_bytes(state + str(step).encode())
        if error:
            raise error

    trainer = SimpleNamespace(global_step=step, current_epoch=step // 10, save_checkpoint=save_checkpoint)
    Checkpoints(folder, {"precision": "32-true"}).on_train_epoch_end(trainer, None)  # type: ignore[arg-type]


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rewrite(manifest: Path, change: Callable[[dict[str, object]], object]) -> None:
    held = json.loads(manifest.read_text())
    changed = change(held)
    manifest.write_text(json.dumps(held if changed is None else changed))


DAMAGE = {
    "a flipped bit": lambda step: (step / STATE).write_bytes(b"stata20"),
    "a truncated state": lambda step: (step / STATE).write_bytes(b"stat"),
    "a longer state": lambda step: (step / STATE).write_bytes(b"state20 and more"),
    "no state": lambda step: (step / STATE).unlink(),
    "no manifest": lambda step: (step / MANIFEST).unlink(),
    "an empty manifest": lambda step: (step / MANIFEST).write_text(""),
    "half a manifest": lambda step: (step / MANIFEST).write_text('{"files": {"st'),
    "a manifest of another kind": lambda step: rewrite(step / MANIFEST, lambda _: [1, 2]),
    "a manifest without files": lambda step: rewrite(step / MANIFEST, lambda held: held.pop("files") and held),
    "files of another kind": lambda step: rewrite(step / MANIFEST, lambda held: held.update(files={STATE: 1})),
    "a manifest that lists nothing": lambda step: rewrite(step / MANIFEST, lambda held: held.update(files={})),
}


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert newest_whole(tmp_path / "checkpoints") is None


def test_the_newest_is_found_by_its_number_and_not_by_its_letters(tmp_path: Path) -> None:
    for step in (9, 10):
        save(tmp_path, step)
    assert newest_whole(tmp_path) == tmp_path / "step-10" / STATE


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (8, 9, 10, 100):
        save(tmp_path, step)
    assert steps(tmp_path) == ["step-10", "step-100"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_is_passed_over(damage: str, tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20)
    DAMAGE[damage](tmp_path / "step-20")
    assert newest_whole(tmp_path) == tmp_path / "step-10" / STATE


def test_where_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    for step in (10, 20):
        save(tmp_path, step)
        (tmp_path / f"step-{step}" / MANIFEST).unlink()
    assert newest_whole(tmp_path) is None


def test_a_damaged_one_is_replaced_when_training_comes_to_its_step_again(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20)
    (tmp_path / "step-20" / STATE).write_bytes(b"damaged")
    save(tmp_path, 20, state=b"anew")
    assert newest_whole(tmp_path) == tmp_path / "step-20" / STATE
    assert (tmp_path / "step-20" / STATE).read_bytes() == b"anew20"


def test_a_save_that_fails_leaves_what_stood_and_no_part(tmp_path: Path) -> None:
    save(tmp_path, 10)
    with pytest.raises(ZeroDivisionError):
        save(tmp_path, 20, error=ZeroDivisionError())
    assert steps(tmp_path) == ["step-10"]


def test_what_a_kill_leaves_behind_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 10)
    (tmp_path / ".part-step-20-abc").mkdir()
    (tmp_path / ".part-step-20-abc" / STATE).write_bytes(b"half")
    assert newest_whole(tmp_path) == tmp_path / "step-10" / STATE


def test_the_manifest_says_how_far_and_in_what_circumstances(tmp_path: Path) -> None:
    save(tmp_path, 20)
    held = json.loads((tmp_path / "step-20" / MANIFEST).read_text())
    assert (held["epochs"], held["precision"]) == (3, "32-true")


def test_a_save_inside_an_epoch_comes_after_so_many_steps_and_never_at_an_epochs_first(tmp_path: Path) -> None:
    saved: list[int] = []

    class Noting(Checkpoints):
        def save(self, trainer: object, epochs: int) -> None:
            saved.append(trainer.global_step)  # type: ignore[attr-defined]

    callback = Noting(tmp_path, {}, every=4)
    for step in range(20):
        trainer = SimpleNamespace(global_step=step, current_epoch=step // 8)
        callback.on_train_batch_start(trainer, None, None, step % 8)  # type: ignore[arg-type]
    assert saved == [4, 12]  # 8 and 16 are saved as the ends of epochs


def test_a_checkpoint_that_training_resumed_from_is_not_written_again(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 10, state=b"other")
    assert (tmp_path / "step-10" / STATE).read_bytes() == b"state10"


def test_a_position_is_the_step_after_which_was_saved(tmp_path: Path) -> None:
    save(tmp_path, 20)
    assert (position(None), position(newest_whole(tmp_path))) == (0, 20)


def test_what_has_changed_since_a_checkpoint_is_named(tmp_path: Path) -> None:
    save(tmp_path, 20)
    state = newest_whole(tmp_path)
    assert state is not None
    assert context_changes(state, {"precision": "32-true", "threads": 2}) == []
    assert context_changes(state, {"precision": "bf16-mixed"}) == ["precision 32-true then, bf16-mixed now"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no checkpoint at all", "no state of this training"),
        ({"state_dict": {}}, "its 'pytorch-lightning_version' is missing or of another kind"),
    ],
)
def test_a_state_that_was_replaced_hash_and_all_is_told_with_the_way_on(
    content: object, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "step-5" / STATE
    path.parent.mkdir()
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=f"(?s){said}.*; remove {path.parent}, and the same command goes on"):
        refuse_other_state(path, nn.Linear(2, 2))  # type: ignore[arg-type]
