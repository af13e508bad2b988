from dataclasses import replace
from pathlib import Path

import pytest

from pretrain.config import PretrainConfig
from pretrain.doctor.diagnoses import Course, Signs, diagnose
from pretrain.recipes import MoCoConfig, SimCLRConfig

START = {"rankme": 40.0, "gradient_norm": 2.0, "loss": 4.0, "teacher_length": 3.0}
WELL = {
    "loss": 3.0, "spread": 0.8, "accuracy": 0.6, "gradient_norm": 1.0, "duplicate_views": 0.0, "constant_views": 0.01,
    "step_size": 0.002, "rankme": 35.0, "pair_loss": 2.0, "stranger_loss": 5.0, "shared_companions": 0.13,
    "teacher_distance": 0.02, "teacher_length": 3.1,
}  # fmt: skip


def names(now: Signs, config: PretrainConfig | None = None, done: float = 0.5) -> list[str]:
    return [found.name for found in diagnose(Course(config or MoCoConfig(), START, START, now, done))]


def test_good_signs_give_no_diagnosis() -> None:
    assert names(WELL) == []


def test_signs_that_were_not_taken_give_no_diagnosis() -> None:
    assert names({}) == []


@pytest.mark.parametrize(
    ("name", "signs"),
    [
        ("collapse", {"spread": 0.02}),
        ("dimensional collapse", {"rankme": 3.0}),
        ("divergence", {"step_size": 0.2}),
        ("divergence", {"gradient_norm": 5e3}),
        ("divergence", {"loss": 70.0}),
        ("identical views", {"duplicate_views": 0.9}),
        ("constant images", {"constant_views": 0.3}),
        ("copied teacher", {"teacher_distance": 0.0}),
        ("frozen teacher", {"teacher_length": 3.0}),
        ("BatchNorm leak", {"shared_companions": 1.0}),
    ],
)
def test_a_bad_sign_gives_its_diagnosis_alone(name: str, signs: dict[str, float]) -> None:
    assert names(WELL | signs) == [name]


WORSE = WELL | {"dense_iou": 0.7, "dense_change": -0.02, "dense_error": 0.004}


@pytest.mark.parametrize(
    ("signs", "done", "told"),
    [
        (WORSE, 1.0, ["worse dense features"]),
        (WORSE, 0.5, []),  # features may dip on their way
        (WORSE | {"dense_error": 0.02}, 1.0, []),  # chance moves them as far
        (WORSE | {"dense_change": -0.004, "dense_error": 0.0001}, 1.0, []),  # sure, and of no weight
        (WORSE | {"dense_change": 0.02}, 1.0, []),
        ({name: sign for name, sign in WORSE.items() if name != "dense_error"}, 1.0, []),
    ],
)
def test_features_of_places_that_became_worse_are_told_at_the_end(signs: Signs, done: float, told: list[str]) -> None:
    assert names(signs, done=done) == told


def test_worse_features_of_places_name_what_was_lost_and_another_method() -> None:
    [diagnosis] = diagnose(Course(SimCLRConfig(), START, START, WORSE, 1.0))
    assert "0.700, and did with 0.720" in diagnosis.evidence
    assert "-2.0 points" in diagnosis.evidence
    assert "--method densecl" in diagnosis.remedy
    assert not diagnosis.fatal


def test_a_high_temperature_is_named_where_pairs_and_strangers_have_one_loss() -> None:
    flat = WELL | {"pair_loss": 4.99, "stranger_loss": 5.0}
    assert names(flat, SimCLRConfig(temperature=10)) == ["temperature too high"]
    assert names(flat, SimCLRConfig(temperature=0.1)) == []
    assert names(WELL, SimCLRConfig(temperature=10)) == []


def test_pictures_of_one_colour_are_answered_with_a_command_that_names_their_folder(tmp_path: Path) -> None:
    course = Course(SimCLRConfig(data=tmp_path), {}, {}, {"constant_views": 0.3}, 0.5)
    [diagnosis] = diagnose(course)
    assert f"`python -m dermssl check {tmp_path}`" in diagnosis.remedy
    [by_default] = diagnose(replace(course, config=SimCLRConfig()))
    assert "`python -m dermssl check data/" in by_default.remedy


def test_pictures_of_one_colour_are_not_called_identical_views_as_well() -> None:
    assert names(WELL | {"duplicate_views": 1.0, "constant_views": 1.0}) == ["constant images"]


def test_a_teacher_may_stand_where_nothing_moves_and_at_the_end_of_the_training() -> None:
    assert names(WELL | {"teacher_distance": 0.0, "step_size": 0.0}) == []
    assert names(WELL | {"teacher_length": 3.0}, done=1.0) == []


def test_few_dimensions_are_no_collapse_where_there_were_few_at_the_start() -> None:
    course = Course(MoCoConfig(), START | {"rankme": 4.0}, {}, WELL | {"rankme": 3.0}, 0.5)
    assert diagnose(course) == []


def test_a_diagnosis_says_what_was_seen_and_which_option_helps() -> None:
    (found,) = diagnose(Course(MoCoConfig(lr=3.0), START, START, WELL | {"step_size": 0.2}, 0.5))
    assert str(found) == (
        "divergence: one step moves the encoder by 20% of its own length; "
        "lower --lr (it is 3) tenfold, or raise --warmup (0.1)"
    )
