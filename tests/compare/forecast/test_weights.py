"""Weights that a study starts from and that cannot be had."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import compare.forecast.preflight
import compare.forecast.weights
from compare.forecast.preflight import weight_faults
from compare.forecast.weights import encoders_from_imagenet, missing_weights, refuse_unreachable
from compare.study.config import StudyConfig
from compare.study.plan import tasks_of
from dermssl.errors import UserError
from dermssl.weights.hub import OFFLINE

BOTH = StudyConfig(encoder=(OFFLINE, "resnet18"))


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither a network nor weights that were fetched before."""
    monkeypatch.setattr(compare.forecast.weights, "hub_is_near", lambda: False)
    monkeypatch.setattr(compare.forecast.weights, "has_cached_weights", lambda: False)
    return monkeypatch


def test_encoders_start_from_imagenet_as_arms_and_in_pretraining(tmp_path: Path) -> None:
    assert encoders_from_imagenet(tasks_of(BOTH, 1)) == {OFFLINE, "resnet18"}
    continued = replace(BOTH, init=("ssl", "random"), contrast=("ssl", "random"))
    assert encoders_from_imagenet(tasks_of(continued, 1)) == {OFFLINE, "resnet18"}
    (tmp_path / "p.yaml").write_text("init: random\n")
    assert encoders_from_imagenet(tasks_of(replace(continued, pretrain=tmp_path / "p.yaml"), 1)) == set()


@pytest.mark.usefixtures("away")
def test_what_cannot_be_had_is_refused_with_flags_that_do_without() -> None:
    with pytest.raises(UserError) as refused:
        refuse_unreachable(BOTH)
    assert str(refused.value) == (
        "--encoder: no weights for resnet18 could be had from huggingface.co; connect to the network once, which keeps "
        f"them, or give --encoder {OFFLINE}, whose weights are here, or start from none: --init ssl random --contrast "
        "ssl random and `init: random` in a file for --pretrain"
    )


def test_flags_that_do_without_weights_make_a_study_that_needs_none(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("init: random\n")
    rest = replace(BOTH, init=("ssl", "random"), contrast=("ssl", "random"), pretrain=tmp_path / "p.yaml")
    assert encoders_from_imagenet(tasks_of(rest, 1)) == set()
    alone = StudyConfig(encoder=("resnet18",), init=("imagenet",), arms="loss", loss=("dice", "bce"),
                        contrast=("dice", "bce"), pretrain=tmp_path / "p.yaml")  # fmt: skip
    told = missing_weights(alone, tasks_of(alone, 1), {"resnet18"})
    assert told.endswith(f"or give --encoder {OFFLINE}, whose weights are here, or start from none: --init random")


def test_nothing_is_refused_that_is_near_or_may_have_been_fetched_or_comes_with_a_package(
    away: pytest.MonkeyPatch,
) -> None:
    refuse_unreachable(replace(BOTH, encoder=(OFFLINE,)))
    away.setattr(compare.forecast.weights, "has_cached_weights", lambda: True)
    refuse_unreachable(BOTH)
    away.setattr(compare.forecast.weights, "has_cached_weights", lambda: False)
    away.setattr(compare.forecast.weights, "hub_is_near", lambda: True)
    refuse_unreachable(BOTH)


def test_all_encoders_without_weights_are_one_complaint_and_an_unknown_one_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(init: str, encoder: str, seed: int) -> None:
        if encoder != OFFLINE:
            raise UserError("no such encoder" if encoder == "resnet17" else f"no weights for '{encoder}'")

    monkeypatch.setattr(compare.forecast.preflight, "start_from", start)
    study = replace(BOTH, encoder=(OFFLINE, "resnet17", "resnet18", "resnet34"))
    told = list(weight_faults(study, None, tasks_of(study, 1)))  # type: ignore[arg-type]
    assert told[0] == "no such encoder"
    assert told[1].startswith("--encoder: no weights for resnet18, resnet34 could be had")
    assert len(told) == 2


def test_asking_for_weights_loads_no_library_that_trains() -> None:
    code = "import sys, compare.commands; assert not {'torch', 'timm', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
