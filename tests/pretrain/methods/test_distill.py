import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, feature_maps, start_from
from dermssl.weights.encoder_file import EncoderCard, read_card, write_encoder_file
from dermssl.weights.seen import SEEN_COLUMNS, read_seen
from pretrain.config import PretrainConfig
from pretrain.dense_recipes import DistillConfig
from pretrain.methods.distill import Distill, cosine_distances, on_finer_grid, spread_around_mean
from pretrain.run import run
from pretrain.shared.teacher import Teacher, teacher_from
from pretrain.views.batch import Batch

Builds = Callable[..., Distill]
Draws = Callable[..., Batch]
Configure = Callable[..., PretrainConfig]
ENCODER = "tu-test_efficientnet"


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) ** 0.5 * sum(y * y for y in b) ** 0.5)


def finer(coarse: Tensor, side: int) -> Tensor:
    """A map (C, h, w) at the centres of a grid's cells, between the four nearest centres, or the border's."""
    C, h, w = coarse.shape
    fine = torch.zeros(C, side, side, dtype=coarse.dtype)
    for row in range(side):
        for column in range(side):
            y, x = (min(max((p + 0.5) * n / side - 0.5, 0), n - 1) for p, n in ((row, h), (column, w)))
            top, left = min(int(y), h - 2), min(int(x), w - 2)
            for i, of_row in ((top, 1 - (y - top)), (top + 1, y - top)):
                for j, of_column in ((left, 1 - (x - left)), (left + 1, x - left)):
                    fine[:, row, column] += of_row * of_column * coarse[:, i, j]
    return fine


def distances_by_loops(student: Tensor, teacher: Tensor) -> tuple[float, float]:
    """Place by place and image by image, in Python's floats."""
    side, places, whole = max(student.shape[-1], teacher.shape[-1]), [], []
    for a, b in zip(student, teacher, strict=True):
        ours, theirs = (m if m.shape[-1] == side else finer(m, side) for m in (a, b))
        rows = (m.flatten(1).T.tolist() for m in (ours, theirs))
        places += [1 - cosine(*pair) for pair in zip(*rows, strict=True)]
        whole.append(1 - cosine(a.mean(dim=(1, 2)).tolist(), b.mean(dim=(1, 2)).tolist()))
    return sum(places) / len(places), sum(whole) / len(whole)


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (2, 5), (4, 2)])
def test_the_distances_match_their_definition(ours: int, theirs: int) -> None:
    student, teacher = draw(3, 4, ours, ours, seed=1).double(), draw(3, 4, theirs, theirs, seed=2).double()
    came = [value.item() for value in cosine_distances(student, teacher)]
    assert came == pytest.approx(distances_by_loops(student, teacher), rel=1e-9)


def test_the_lengths_of_features_do_not_matter_and_opposite_ones_are_two_apart() -> None:
    maps = draw(2, 4, 3, 3, seed=0)
    assert [value.item() for value in cosine_distances(3 * maps, maps)] == pytest.approx([0, 0], abs=1e-6)
    assert [value.item() for value in cosine_distances(-maps, maps)] == pytest.approx([2, 2])


def test_the_coarser_map_is_brought_to_the_finer_grid_whichever_it_is() -> None:
    coarse, fine = draw(1, 2, 2, 2, seed=0), draw(1, 2, 5, 5, seed=1)
    (a, b), (c, d) = on_finer_grid(coarse, fine), on_finer_grid(fine, coarse)
    assert a.shape == fine.shape
    assert torch.equal(a, d)
    assert b is fine
    assert c is fine


def test_half_precision_maps_are_compared_in_float32() -> None:
    student, teacher = draw(2, 16, 2, 2, seed=0).bfloat16(), draw(2, 16, 4, 4, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        places, whole = cosine_distances(student, teacher)
    assert places.dtype == whole.dtype == torch.float32
    assert places.item() == pytest.approx(distances_by_loops(student.double(), teacher.double())[0], rel=1e-5)


def test_spread_is_nought_for_one_answer_and_near_one_for_answers_that_differ_a_little_around_a_common_vector() -> None:
    common = 5 * draw(1, 32, seed=0)
    assert spread_around_mean(common.expand(64, 32)) < 1e-3
    assert spread_around_mean(common + 1e-4 * draw(64, 32, seed=1)) < 0.1
    assert spread_around_mean(common + draw(64, 32, seed=1)) > 0.9


def twin_of_teacher(seed: int = 3) -> Distill:
    """A student with its teacher's weights, and a regressor that changes nothing."""
    start = replace(start_from("random", ENCODER, seed), teacher=start_from("random", ENCODER, seed))
    method = Distill(start, DistillConfig(image_size=64, batch_size=4), steps=1)
    nn.init.dirac_(method.regressor.weight)
    nn.init.zeros_(method.regressor.bias)  # type: ignore[arg-type]
    return method.eval()


def test_a_student_with_its_teachers_weights_has_nothing_to_learn(draw_batch: Draws) -> None:
    method = twin_of_teacher()
    assert method.training_step(draw_batch(method.config), 0)["loss"].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_loss_weighs_places_and_the_whole(small_method: Builds, draw_batch: Draws, share: float) -> None:
    method = small_method("distill", pooled_share=share)
    scalars = method.training_step(draw_batch(method.config), 0)
    weighed = (1 - share) * scalars["place_distance"] + share * scalars["pooled_distance"]
    assert scalars["loss"].item() == pytest.approx(weighed.item())
    assert scalars["place_distance"] != scalars["pooled_distance"]


def test_both_views_are_samples_that_student_and_teacher_see_alike(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("distill").eval()
    batch = draw_batch(method.config)
    with torch.no_grad():
        student = method.regressor(feature_maps(method.encoder, method.normalise(batch.views))[-1])
        teacher = torch.cat([method.teacher(view[None]) for view in batch.views])
    places = cosine_distances(student, teacher)[0]
    assert method.training_step(batch, 0)["place_distance"].item() == pytest.approx(places.item(), rel=1e-5)


def test_the_teacher_does_not_move_while_it_is_learned_from(small_method: Builds, draw_batch: Draws) -> None:
    method = small_method("distill").train()
    before = copy.deepcopy(method.teacher.state_dict())
    optimiser = torch.optim.SGD(method.parameters(), lr=0.1)
    for seed in range(3):
        method.training_step(draw_batch(method.config, seed), 0)["loss"].backward()
        optimiser.step()
    assert all(torch.equal(before[name], tensor) for name, tensor in method.teacher.state_dict().items())
    assert all(p.grad is None for p in method.teacher.parameters())
    assert not any(module.training for module in method.teacher.modules())


def test_a_checkpoint_holds_student_and_regressor_alone(small_method: Builds) -> None:
    method = small_method("distill")
    parts = {name.partition(".")[0] for name in method.state_dict()}
    assert parts == {"encoder", "regressor"}
    assert not {id(p) for p in method.parameters()} & {id(p) for p in method.teacher.parameters()}


def test_the_teacher_goes_where_the_method_goes(small_method: Builds) -> None:
    method = small_method("distill").double()
    assert {p.dtype for p in method.teacher.parameters()} == {torch.float64}
    assert method.teacher.normalise.mean.dtype == torch.float64


def test_a_teacher_has_its_own_normalisation_and_size() -> None:
    start = start_from("random", ENCODER, 0)
    other = replace(start, card=replace(start.card, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)))
    views = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    pixels = (views / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.6, 0.7]).view(3, 1, 1)
    maps = Teacher(other, 0)(views)
    assert torch.allclose(maps, feature_maps(start.encoder, pixels)[-1], atol=1e-5)
    resized = F.interpolate(pixels, size=96, mode="bilinear", antialias=True)
    larger = Teacher(other, 96)(views)
    assert larger.shape[-1] == 3
    assert torch.allclose(larger, feature_maps(start.encoder, resized)[-1], atol=1e-5)


def with_teacher(name: str, **options: object) -> Distill:
    start = replace(start_from("random", ENCODER, 0), teacher=start_from("random", name, 1))
    return Distill(start, DistillConfig(**({"image_size": 64, "batch_size": 4} | options)), steps=1)


def test_a_plain_transformer_teaches_its_map_of_patches(draw_batch: Draws) -> None:
    method = with_teacher("tu-test_vit")
    batch = draw_batch(method.config)
    maps = method.teacher(batch.views)
    assert maps.shape == (8, method.regressor.out_channels, 4, 4)
    method.training_step(batch, 0)["loss"].backward()
    assert method.regressor.weight.grad is not None


def test_a_view_that_the_teacher_cannot_take_is_refused_with_the_option_that_helps() -> None:
    with pytest.raises(UserError, match=r"--teacher .*: takes no view of 72 pixels .*give --teacher_size, a multiple"):
        with_teacher("tu-test_vit", image_size=72)
    assert with_teacher("tu-test_vit", image_size=72, teacher_size=64).teacher.size == 64


def test_the_default_teachers_weights_are_installed() -> None:
    teacher = teacher_from(DistillConfig().teacher)
    assert teacher.init == "imagenet"
    assert teacher.card.encoder == "tu-tf_efficientnet_lite2"


@pytest.fixture
def configure(draw_photographs: Callable[..., Path], tmp_path: Path) -> Configure:
    data = draw_photographs(tmp_path / "photographs")

    def configured(**more: object) -> PretrainConfig:
        small = {
            "data": data, "encoder": ENCODER, "init": "random", "image_size": 64, "cache_size": 64, "epochs": 1,
            "batch_size": 4, "precision": "32-true", "threads": 1, "out": tmp_path / "runs", "checkpoints": None,
            "look_every": 0,
        }  # fmt: skip
        return DistillConfig(**(small | more))

    return configured


def write_teacher(path: Path, seed: int, *, method: str = "simclr", seen: bool = True, whole: bool = True) -> Start:
    """A teacher's file with drawn weights, that says which image it has seen."""
    start = start_from("random", ENCODER, seed)
    card = EncoderCard(encoder=ENCODER, method=method, mean=start.card.mean, std=start.card.std, seen_whole=whole)
    path.parent.mkdir(exist_ok=True)
    row = dict.fromkeys(SEEN_COLUMNS, "") | {"image_id": "taught_on_this", "sha256": "0" * 16}
    write_encoder_file(path, start.encoder.state_dict(), card, pd.DataFrame([row]) if seen else None)
    return start


def test_a_drawn_teacher_is_learned(configure: Configure, tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher.safetensors", seed=5)
    file = run(configure(teacher=str(tmp_path / "teacher.safetensors"), epochs=12, lr=3e-3))
    loss = pd.read_csv(file.parent / "metrics.csv")["loss"]
    assert loss.iloc[-1] < 0.5 * loss.iloc[0]


def test_the_card_names_the_teacher_and_its_images_are_the_students(configure: Configure, tmp_path: Path) -> None:
    start = write_teacher(tmp_path / "teacher.safetensors", seed=5)
    file = run(configure(teacher=str(tmp_path / "teacher.safetensors")))
    card, seen = read_card(file), read_seen(file)
    assert card.teacher.startswith(f"{ENCODER}, ")
    assert (
        card.teacher.split(", ")[1]
        == read_card(tmp_path / "teacher.safetensors").sha256
        == teacher_from(str(tmp_path / "teacher.safetensors")).sha256
    )
    assert card.seen_whole
    assert seen is not None
    assert "taught_on_this" in set(seen["image_id"])
    assert len(seen) == 13
    assert start.card.teacher == ""


@pytest.mark.parametrize(("seen", "whole"), [(False, True), (True, False)])
def test_what_a_teacher_does_not_tell_of_its_images_the_student_does_not_claim_to_know(
    configure: Configure, tmp_path: Path, seen: bool, whole: bool
) -> None:
    write_teacher(tmp_path / "teacher.safetensors", seed=5, seen=seen, whole=whole)
    assert not read_card(run(configure(teacher=str(tmp_path / "teacher.safetensors")))).seen_whole


def test_a_teachers_weights_make_the_run_and_not_its_place(configure: Configure, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_teacher(tmp_path / name / "teacher.safetensors", seed)
    places = [str(tmp_path / name / "teacher.safetensors") for name in "abc"]
    first = run(configure(teacher=places[0]))
    with pytest.raises(UserError, match="a run with these very options is there already"):
        run(configure(teacher=places[1]))
    other = run(configure(teacher=places[2]))
    assert other.parent != first.parent
    with pytest.raises(UserError, match="other weights of the teacher than it was begun with"):
        run(configure(teacher=places[2], resume=first.parent))


@pytest.mark.parametrize("name", ["nobody", "nowhere/teacher.safetensors", "tu-hf-hub:a/b", ""])
def test_an_unknown_teacher_is_refused_in_a_sentence_before_training(configure: Configure, name: str) -> None:
    config = configure(teacher=name)
    with pytest.raises(UserError, match=r"--teacher .*: no such file.*; give a") as refused:
        run(config)
    assert "\n" not in str(refused.value)
    assert not list(config.out.glob("*"))


def test_a_teacher_whose_weights_are_out_of_reach_is_refused_with_one_that_is_not(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise UserError("--init imagenet: no weights")

    monkeypatch.setattr("dermssl.weights.encoder.imagenet_state", unreachable)
    with pytest.raises(
        UserError, match=r"--teacher resnet18: its weights could not be had; .*tu-tf_efficientnet_lite2"
    ):
        run(configure(teacher="resnet18"))


def test_the_log_names_the_teacher(configure: Configure, tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher.safetensors", seed=5)
    file = run(configure(teacher=str(tmp_path / "teacher.safetensors")))
    assert f"teacher: {ENCODER}, " in (file.parent / "log.txt").read_text()
