import math

import pytest

from compare.study.identity import run_identity
from dermssl.flags import option_names, plain_options
from dermssl.runs.folder import identity
from pretrain.config import PretrainConfig
from pretrain.dense_recipes import DecoderPretrainConfig
from pretrain.known_methods import METHODS, recipe_of
from pretrain.recipes import MoCoConfig, SimCLRConfig, SimSiamConfig


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_defaults_are_a_recipe_that_is_allowed(method: str) -> None:
    assert METHODS[method]().method == method


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("batch_size", 1, "--batch_size must be at least 2"),
        ("image_size", 31, "--image_size must be at least 32"),
        ("cache_size", 0, "--cache_size must be at least 1"),
        ("epochs", 0, "--epochs must be at least 1"),
        ("lr", 0.0, "--lr must be above 0"),
        ("lr", float("nan"), "--lr must be above 0"),
        ("weight_decay", -1e-6, "--weight_decay must not be negative"),
        ("warmup", 1.0, r"--warmup is a share of the steps in \[0, 1\)"),
        ("val_fraction", 1.0, r"--val_fraction is a share in \(0, 1\)"),
        ("limit", 0, "--limit must be at least 1"),
        ("seed", -1, "--seed must not be negative"),
        ("workers", -1, "--workers must not be negative"),
        ("threads", -1, "--threads must not be negative"),
    ],
)
def test_options_that_no_training_can_obey_are_refused(option: str, value: float, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SimCLRConfig(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_refuses_what_no_training_can_obey(method: str) -> None:
    """The checks are of all recipes, and a recipe that has some of its own must not forget them."""
    with pytest.raises(ValueError, match="--image_size must be at least 32"):
        METHODS[method](image_size=31)


@pytest.mark.parametrize("config", [SimCLRConfig, MoCoConfig])
def test_a_temperature_is_above_zero(config: type[SimCLRConfig | MoCoConfig]) -> None:
    with pytest.raises(ValueError, match="--temperature must be above 0"):
        config(temperature=0)


def test_moco_refuses_a_momentum_that_never_moves() -> None:
    assert MoCoConfig(momentum=0.0).momentum == 0
    with pytest.raises(ValueError, match=r"--momentum is a share in \[0, 1\)"):
        MoCoConfig(momentum=1.0)


@pytest.mark.parametrize(("batch_size", "groups"), [(8, 3), (8, 8)])
def test_moco_refuses_groups_that_batch_norm_cannot_use(batch_size: int, groups: int) -> None:
    with pytest.raises(ValueError, match="--norm_groups must divide --batch_size into parts of 2 images or more"):
        MoCoConfig(batch_size=batch_size, norm_groups=groups)


def test_moco_refuses_a_queue_that_cannot_hold_a_batch() -> None:
    assert MoCoConfig(batch_size=16, queue_size=16).queue_size == 16
    with pytest.raises(ValueError, match=r"--queue_size must hold a batch \(16\), got 15"):
        MoCoConfig(batch_size=16, queue_size=15)


def test_what_a_method_has_no_option_for_is_answered_and_is_no_option() -> None:
    facts = {"queue_size": 0, "norm_groups": 1, "micro_batch": 0, "temperature": 0.0, "decoder": ""}
    config = SimSiamConfig()
    assert {name: getattr(config, name) for name in facts} == facts
    assert math.isnan(config.momentum)
    assert not {*facts, "momentum"} & {*option_names(SimSiamConfig), *plain_options(config)}


def test_a_recipes_own_option_is_what_it_answers() -> None:
    configs: list[tuple[PretrainConfig, str, object]] = [
        (MoCoConfig(queue_size=512), "queue_size", 512),
        (MoCoConfig(momentum=0.9), "momentum", 0.9),
        (MoCoConfig(norm_groups=4), "norm_groups", 4),
        (SimCLRConfig(temperature=0.5), "temperature", 0.5),
        (SimCLRConfig(micro_batch=64), "micro_batch", 64),
        (DecoderPretrainConfig(decoder="fpn"), "decoder", "fpn"),
    ]
    for config, name, value in configs:
        assert getattr(config, name) == plain_options(config)[name] == value


def test_an_option_that_was_added_names_a_run_only_where_it_is_used() -> None:
    """A run of an earlier version is found as long as nobody asks for what that could not do."""
    before = identity(SimCLRConfig(), SimCLRConfig.ELSEWHERE)
    assert "l2_sp" not in before
    assert identity(SimCLRConfig(l2_sp=2.0), SimCLRConfig.ELSEWHERE) == before | {"l2_sp": 2.0}
    assert run_identity(SimCLRConfig(l2_sp=2.0)) == run_identity(SimCLRConfig()) | {"l2_sp": 2.0}


@pytest.mark.parametrize("method", METHODS)
def test_options_that_were_added_have_the_value_that_changes_nothing_by_default(method: str) -> None:
    config = recipe_of(method)()
    assert {key: getattr(config, key) for key in config.ADDED} == dict(config.ADDED)


def test_a_logger_is_no_part_of_what_a_run_is() -> None:
    logged = SimCLRConfig(logger=("tensorboard",))
    assert identity(logged, logged.ELSEWHERE) == identity(SimCLRConfig(), logged.ELSEWHERE)
    assert run_identity(logged) == run_identity(SimCLRConfig())
