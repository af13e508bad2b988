"""Options from defaults, a file and flags: which wins, what is refused, and that a written config reads back."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest

from compare.study.config import StudyConfig
from dermssl import flag_types, flags
from dermssl.errors import UserError
from dermssl.flags import parse, parse_choice
from dermssl.synthetic.config import SynthesizeConfig
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import ARGUMENTS
from finetune.predict.config import PredictConfig
from pretrain.known_methods import METHODS
from pretrain.recipes import MoCoConfig, SimCLRConfig
from probe.config import ProbeConfig

ALL = (SimCLRConfig, MoCoConfig, FinetuneConfig, PredictConfig, ProbeConfig, StudyConfig, SynthesizeConfig)
GIVEN: Mapping[type, Mapping[str, Path]] = {
    PredictConfig: {"model": Path("model"), "images": Path("images"), "out": Path("out")},
    SynthesizeConfig: {"out": Path("out")},
}
WORDS = ["a b", "-x", "--x", "it's: #1", "null", "1e-3", "", "yes", "ü", "[a, b]", "a=b", " a "]
PATHS = [Path(word) for word in ("with space/and more", "-dash", "--dashes", "ünï", "null", "a#b: c", "~/x", "1e3")]
SHARES = [0.1 + 0.2, 1 / 3, 1e-7, 5e-324]


@dataclass(frozen=True, kw_only=True)
class Loose:
    """Types whose awkward values no command accepts."""

    words: tuple[str, ...] = ("a",)
    """Any number of words."""
    pair: tuple[int, int] = (1, 2)
    """Two numbers."""
    sign: int = 1
    """May be negative."""
    place: Path | None = Path("there")
    """May be None."""
    switch: bool = True
    """On or off."""


def pretraining(*argv: str, quick: Path | None = None) -> SimCLRConfig | MoCoConfig:
    return parse_choice(METHODS, "method", "python -m pretrain", argv, quick)


def written(folder: Path, text: str) -> str:
    path = folder / "options.yaml"
    path.write_text(text)
    return str(path)


def refusal(*argv: str, config: type[Any] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        parse(config, "test", argv) if config else pretraining(*argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


SPECIAL: dict[str, list[Any]] = {  # options of words that only some words are allowed for
    "augmentation": ["none", "strong", "my own: 1.yaml"],
    "loss": ["dice", "0.5*focal + tversky", "lovasz+boundary"],
    "submission": [Path("a b.zip")],
    "image_size": [64, 96],
    "masks": ["{id}_roi.png", "my masks/{id}: 1"],
    "folds": [2, 5],  # each of a million would be checked, which takes seconds
}
OF_SOME = {*ARGUMENTS, "focal_gamma", "focal_alpha", "tversky_alpha", "tversky_beta", "freeze", "thaw_after"}
"""Options that go with some decoders, losses or other options only; tests/finetune has tests of their own."""
OF_STUDIES = {"init", "arms", "exclude", "fold", "pretrainings", "search"}
"""Options of a study whose values must suit one another; tests/compare/study/test_grid.py has tests of their own."""


def candidates(kind: Any, default: Any) -> list[Any]:
    """Awkward values of a type; the config itself says which of them it allows."""
    inner = get_args(kind)
    if get_origin(kind) is Literal:
        return list(inner)
    if get_origin(kind) is tuple and inner[-1] is not Ellipsis:
        return [tuple(reversed(default))]
    if get_origin(kind) is tuple:
        values = candidates(inner[0], default[0] if default else None)
        wordy = [word for word in values if word and not str(word).startswith("-")]
        return [tuple(values[:1]), tuple(reversed(wordy)), (*default, *default)]
    if type(None) in inner:
        return [None, *candidates(inner[0], default)]
    if len(inner) > 1:  # a number or a word
        return [value for part in inner for value in candidates(part, default)]
    if kind is int:
        return [2 * (default or 2), 4, 1_000_000]
    return {str: WORDS, Path: PATHS, float: SHARES, bool: [True, False]}[kind]


@cache
def awkward(config: type[Any], turn: int) -> Any:
    """An instance in which every option has an awkward value, as far as the config allows it."""
    made = config(**GIVEN.get(config, {}))
    for key, kind in get_type_hints(config).items():
        if not hasattr(made, key) or key.isupper():
            continue
        special = SPECIAL.get(key, []) if kind is not bool else []  # `synthesize --masks` is a switch
        choices = [(one,) for one in special] if get_origin(kind) is tuple and special else special
        choices = choices or candidates(kind, getattr(made, key))
        for shift in range(len(choices)):
            try:
                made = dataclasses.replace(made, **{key: choices[(turn + shift) % len(choices)]})
                break
            except ValueError:
                continue
    return made


def as_argv(config: object) -> list[str]:
    argv = []
    for key, value in flags.plain_options(config).items():
        argv += [f"--{key}", *map(str, value)] if isinstance(value, list) else [f"--{key}={value}"]
    return argv


def reread(config: Any, *argv: str) -> Any:
    if isinstance(config, SimCLRConfig | MoCoConfig):
        return pretraining(*argv)
    return parse(type(config), "test", argv)


def test_the_first_method_is_taken_where_nobody_names_one() -> None:
    assert pretraining() == SimCLRConfig()


def test_a_method_brings_its_own_defaults() -> None:
    assert pretraining("--method", "moco") == MoCoConfig()
    assert MoCoConfig().lr != SimCLRConfig().lr


def test_a_file_may_name_the_method(tmp_path: Path) -> None:
    assert pretraining("--config", written(tmp_path, "method: moco\nqueue_size: 512")) == MoCoConfig(queue_size=512)


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    config = pretraining("--config", written(tmp_path, "lr: 0.5\nepochs: 7"), "--lr", "0.25")
    assert (config.lr, config.epochs, config.batch_size) == (0.25, 7, SimCLRConfig().batch_size)


def test_of_several_files_a_later_one_stands_above(tmp_path: Path) -> None:
    low, high = tmp_path / "low.yaml", tmp_path / "high.yaml"
    low.write_text("lr: 0.5\nepochs: 3\n")
    high.write_text("lr: 0.1\n")
    config = pretraining("--config", str(low), str(high))
    assert (config.lr, config.epochs) == (0.1, 3)
    assert pretraining("--config", str(high), str(low)).lr == 0.5


def test_the_method_on_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "method: simclr\nepochs: 7")
    assert pretraining("--config", file, "--method", "moco") == MoCoConfig(epochs=7)


@pytest.mark.parametrize("number", ["1e-3", "1.0e-3", "0.001", ".001"])
def test_a_number_in_a_file_is_the_number_of_the_flag(number: str, tmp_path: Path) -> None:
    assert pretraining("--config", written(tmp_path, f"lr: {number}")).lr == 0.001 == pretraining("--lr", number).lr


@pytest.mark.parametrize("spelling", [["--batch-size", "32"], ["--batch_size", "32"], ["--batch-size=32"]])
def test_dashes_and_equals_signs_are_a_matter_of_taste(spelling: list[str]) -> None:
    assert pretraining(*spelling).batch_size == 32


def test_a_file_of_comments_gives_no_option(tmp_path: Path) -> None:
    assert pretraining("--config", written(tmp_path, "# nothing yet\n")) == SimCLRConfig()


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.__name__)
def test_a_written_config_reads_back_equal(config: type[Any], tmp_path: Path) -> None:
    for made in (awkward(config, turn) for turn in range(5)):
        flags.write_options(made, tmp_path / "config.yaml")
        assert reread(made, "--config", str(tmp_path / "config.yaml")) == made


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.__name__)
def test_a_config_written_as_flags_reads_back_equal(config: type[Any]) -> None:
    for made in (awkward(config, turn) for turn in range(5)):
        without_run = dataclasses.replace(made, resume=None) if hasattr(made, "resume") else made  # it would be read
        assert reread(without_run, *as_argv(without_run)) == without_run


@pytest.mark.parametrize("config", ALL, ids=lambda config: config.__name__)
def test_the_awkward_values_reach_every_option(config: type[Any]) -> None:
    plain = config(**GIVEN.get(config, {}))
    made = [awkward(config, turn) for turn in range(5)]
    still = [
        f.name for f in dataclasses.fields(config) if all(getattr(m, f.name) == getattr(plain, f.name) for m in made)
    ]
    assert set(still) - OF_SOME - (OF_STUDIES if config is StudyConfig else set()) <= {"method"}


@pytest.mark.parametrize(
    "made",
    [
        Loose(words=()),
        Loose(words=("", " ", "a b", "null", "ü")),
        Loose(words=("-x",)),
        Loose(pair=(-1, -2), sign=-3, place=None, switch=False),
    ],
    ids=str,
)
def test_empty_tuples_and_negative_numbers_read_back(made: Loose, tmp_path: Path) -> None:
    flags.write_options(made, tmp_path / "config.yaml")
    assert parse(Loose, "test", ["--config", str(tmp_path / "config.yaml")]) == made


def test_a_long_tuple_of_floats_reads_back_to_the_last_bit(tmp_path: Path) -> None:
    shares = tuple(np.random.default_rng(0).uniform(0, 1, 200).tolist())
    flags.write_options(StudyConfig(label_fraction=shares), tmp_path / "config.yaml")
    assert parse(StudyConfig, "test", ["--config", str(tmp_path / "config.yaml")]).label_fraction == shares


def test_an_unknown_key_names_the_file_and_the_nearest_option(tmp_path: Path) -> None:
    file = written(tmp_path, "temprature: 0.2")
    assert refusal("--config", file) == (
        f"{file}: 'temprature' is no option of python -m pretrain --method simclr; did you mean 'temperature'?"
    )


def test_an_unknown_flag_names_the_nearest_option() -> None:
    assert refusal("--batchsize", "8") == (
        "python -m pretrain --method simclr has no option --batchsize; did you mean --batch_size?"
    )


def test_an_option_that_is_like_no_other_is_answered_with_all_of_them() -> None:
    said = refusal("--zzz", "8")
    assert said.startswith("python -m pretrain --method simclr has no option --zzz; it has masks, ")
    assert "temperature" in said


def test_an_option_of_another_method_is_refused_with_its_owner(tmp_path: Path) -> None:
    owners = "moco, swav, densecl, decon"
    simclr = "python -m pretrain --method simclr"
    assert refusal("--queue_size", "8") == f"{simclr} has no option --queue_size; it belongs to --method {owners}"
    file = written(tmp_path, "method: simclr\nredundancy: 0.9")
    assert refusal("--config", file) == (
        f"{file}: 'redundancy' is no option of {simclr}; it belongs to --method barlow_twins"
    )


@pytest.mark.parametrize("words", [["simclr", "moco"], ["mocco"], []])
def test_a_method_that_is_none_is_answered_with_those_that_are(words: list[str]) -> None:
    assert refusal("--method", *words).startswith(f"--method is one of {', '.join(METHODS)}; got '{' '.join(words)}'")


def test_a_wrong_method_in_a_file_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "method: mocco")
    known = ", ".join(METHODS)
    assert refusal("--config", file) == f"{file}: --method is one of {known}; got 'mocco'; did you mean 'moco'?"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--lr", "fast"], "--lr takes a number; got 'fast'"),
        (["--epochs", "1.5"], "--epochs takes a whole number; got '1.5'"),
        (["--limit", "some"], "--limit takes a whole number or None; got 'some'"),
        (["--optimiser", "adam"], "--optimiser takes one of lars, sgd, adamw; got 'adam'; did you mean 'adamw'?"),
        (["--optimiser", "sdg"], "--optimiser takes one of lars, sgd, adamw; got 'sdg'; did you mean 'sgd'?"),
        (["--lr", "1", "2"], "--lr takes one value, a number; got 2: 1 2"),
        (["--lr"], "--lr takes one value, a number; got none"),
        (["--lr", "x" * 200], f"--lr takes a number; got '{'x' * 200}'"),
        (["--image_size", "16"], "--image_size must be at least 32, the stride of the last stage; got 16"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
        (["--lr", "nan"], "--lr must be above 0, got nan"),
        (["lr", "1"], "'lr' follows no option; options are written --name value"),
        (["--", "1"], "'--' follows no option; options are written --name value"),
        (["--config"], "--config takes a file of options, or several, of which a later one stands above; got none"),
        (
            ["--resume", "nowhere"],
            "--resume nowhere: holds no run, for there is no config.yaml in it; give the folder of a run",
        ),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_a_mistyped_flag_is_answered_with_what_it_takes(argv: list[str], said: str) -> None:
    assert refusal(*argv) == said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--umap", "maybe"], "--umap takes True or False; got 'maybe'"),
        (["--dense_images", "4", "x"], "--dense_images takes values, each a whole number; got '4 x'"),
        (["--dense_images"], "--dense_images are numbers of pictures, each at least 2; got ()"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_switches_and_tuples_say_what_they_take(argv: list[str], said: str) -> None:
    assert refusal(*argv, config=ProbeConfig) == said


def test_what_must_be_given_is_named_at_once() -> None:
    assert (
        refusal("--model", "run", config=PredictConfig) == "--images and --out must be given; --help says what they are"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr: fast", "--lr takes a number; got 'fast'"),
        ("lr: [1, 2]", "--lr takes one value, a number; got 2: 1 2"),
        ("lr: {a: 1}", "'lr' takes a value or a list of values, found a mapping"),
        ("limit: yes", "--limit takes a whole number or None; got 'yes'"),
        ("image_size: 16", "--image_size must be at least 32, the stride of the last stage; got 16"),
        ("- a\n- b", "expected 'option: value' lines, found list"),
        ("just words", "expected 'option: value' lines, found str"),
        ("1: 2", "'1' is no option of python -m pretrain --method simclr; it has "),
        ("a: b: c", "not YAML (mapping values are not allowed here"),
        ("lr: [1", "not YAML (while parsing a flow sequence"),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    assert refusal("--config", file).startswith(f"{file}: {said}")


def test_a_file_that_is_missing_binary_or_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\xff\xfe\x00")
    assert refusal("--config", str(tmp_path / "none.yaml")).startswith(
        f"{tmp_path / 'none.yaml'}: cannot be read (No such"
    )
    assert refusal("--config", str(tmp_path)).startswith(f"{tmp_path}: cannot be read (Is a directory)")
    assert refusal("--config", str(tmp_path / "weights")).startswith(f"{tmp_path / 'weights'}: not YAML")


def test_resuming_reads_the_config_of_the_run(tmp_path: Path) -> None:
    flags.write_options(MoCoConfig(lr=0.5, queue_size=512), tmp_path / "config.yaml")
    resumed = pretraining("--resume", str(tmp_path))
    assert resumed == MoCoConfig(lr=0.5, queue_size=512, resume=tmp_path)


def test_options_are_typed_where_they_are_not_the_defaults() -> None:
    config = SimCLRConfig(data=Path("my photographs"), lr=0.5)
    typed = flags.as_typed_flags(config, "data", "checkpoints")
    assert typed == " --data 'my photographs'"
    assert pretraining(*shlex.split(typed)).data == config.data


def test_a_run_of_another_command_is_told_to_be_one_and_not_to_be_misspelt(tmp_path: Path) -> None:
    flags.write_options(FinetuneConfig(), tmp_path / "config.yaml")
    with pytest.raises(UserError) as refusal:
        pretraining("--resume", str(tmp_path))
    assert str(refusal.value).startswith(
        f"--resume {tmp_path}: was begun by another command than python -m pretrain --method simclr, or by another "
        "version of it, for it has an option 'decoder'; go on with"
    )


def test_a_flag_beside_resume_wins_over_the_run(tmp_path: Path) -> None:
    flags.write_options(SimCLRConfig(lr=0.5, epochs=7), tmp_path / "config.yaml")
    assert pretraining("--resume", str(tmp_path), "--epochs", "9") == SimCLRConfig(lr=0.5, epochs=9, resume=tmp_path)


@pytest.mark.parametrize(
    ("file", "argv", "epochs"),
    [
        ("", (), 3),
        ("epochs: 5", (), 5),
        ("epochs: 5", ("--epochs", "6"), 6),
        ("data: null", (), 3),
        ("data: photographs", (), 100),
        ("", ("--data", "photographs"), 100),
        ("epochs: 5", ("--data", "photographs"), 5),
    ],
)
def test_quick_options_stand_below_all_others_and_only_where_no_data_is_named(
    file: str, argv: Sequence[str], epochs: int, tmp_path: Path
) -> None:
    quick = tmp_path / "quick.yaml"
    quick.write_text("epochs: 3\nbatch_size: 32")
    config = pretraining("--config", written(tmp_path, file), *argv, quick=quick)
    assert config.epochs == epochs
    assert config.batch_size == (256 if config.data else 32)


def test_the_words_of_a_type_say_what_it_takes() -> None:
    assert flag_types.expected(tuple[Literal["a", "b"], ...]) == "values, each one of a, b"
    assert flag_types.expected(tuple[int, int]) == "2 values, each a whole number"
    assert flag_types.expected(Path | None) == "a path or None"


def test_quick_options_of_one_method_stand_beside_those_of_all(tmp_path: Path) -> None:
    quick = tmp_path / "quick.yaml"
    quick.write_text("epochs: 2\nbatch_size: 16\n")
    (tmp_path / "quick_moco.yaml").write_text("queue_size: 32\nepochs: 3\n")
    moco = parse_choice(METHODS, "method", "test", ["--method", "moco"], quick)
    assert (moco.epochs, moco.batch_size, moco.queue_size) == (3, 16, 32)
    assert parse_choice(METHODS, "method", "test", ["--method", "simclr"], quick).epochs == 2
    assert parse_choice(METHODS, "method", "test", ["--method", "moco", "--data", "x"], quick).queue_size == 16_384


def test_a_config_may_stand_elsewhere_under_its_name() -> None:
    choices = {"simclr": METHODS["simclr"], "byol": "pretrain.recipes:BYOLConfig"}
    assert parse_choice(choices, "method", "test", ["--method", "byol", "--momentum", "0.5"]).momentum == 0.5
    with pytest.raises(UserError, match="--method is one of simclr, byol"):
        parse_choice(choices, "method", "test", ["--method", "elsewhere"])


def test_a_switch_that_may_be_left_to_the_model_needs_no_word() -> None:
    config = flags.parse(
        PredictConfig, "python -m finetune.predict", [*["--model", "m", "--images", "i", "--out", "o"], "--largest"]
    )
    assert config.largest is True
    assert config.symmetries is None
