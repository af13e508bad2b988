"""Options that are on or off: every spelling, of every config that has one, as flags, in files and in the help."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from compare.study.config import StudyConfig
from dermssl.check.config import CheckConfig
from dermssl.download.config import Ham10000Config, Isic2018Config, IsicArchiveConfig
from dermssl.errors import UserError
from dermssl.exchange.export_config import ExportConfig as EncoderExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.flag_types import switches_of
from dermssl.flags import parse
from dermssl.synthetic.config import SynthesizeConfig
from finetune.export.config import ModelExportConfig
from finetune.options.config import FinetuneConfig
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.recipes import SimCLRConfig
from probe.config import ProbeConfig

PICTURES = ["--images", "i", "--out", "o"]
MUST: Mapping[type[Any], Sequence[str]] = {  # what must be given beside the switch
    PredictConfig: ["--model", "m", *PICTURES],
    EnsembleConfig: ["--models", "a", "b", *PICTURES],
    SynthesizeConfig: ["--out", "o"],
    IsicArchiveConfig: ["--limit", "5"],
    FinetuneConfig: ["--decoder", "deeplabv3"],  # which has a switch of its own
}
CONFIGS = (
    StudyConfig, FinetuneConfig, ProbeConfig, PredictConfig, EnsembleConfig, PreviewConfig, ModelExportConfig,
    SimCLRConfig, Isic2018Config, Ham10000Config, IsicArchiveConfig, SynthesizeConfig, CheckConfig, ImportConfig,
    EncoderExportConfig,
)  # fmt: skip
SWITCHES = [(config, switch) for config in CONFIGS for switch in switches_of(config)]


def state(config: type[Any], switch: str, *words: str) -> bool | None:
    value: bool | None = getattr(parse(config, "test", [*MUST.get(config, []), *words]), switch)
    return value


def test_the_configs_with_switches_are_known() -> None:
    assert {config for config, _ in SWITCHES} == {
        StudyConfig, FinetuneConfig, ProbeConfig, PredictConfig, EnsembleConfig, Isic2018Config, Ham10000Config,
        IsicArchiveConfig, SynthesizeConfig,
    }  # fmt: skip


@pytest.mark.parametrize(("config", "switch"), SWITCHES, ids=lambda value: getattr(value, "__name__", value))
def test_every_spelling_turns_a_switch_on_or_off(config: type[Any], switch: str, tmp_path: Path) -> None:
    dashed = switch.replace("_", "-")
    for words in ([f"--{switch}"], [f"--{dashed}"], [f"--{switch}", "True"], [f"--{dashed}=yes"], [f"--{switch}=ON"]):
        assert state(config, switch, *words) is True
    for words in ([f"--no-{dashed}"], [f"--no_{switch}"], [f"--{switch}", "False"], [f"--{dashed}=no"]):
        assert state(config, switch, *words) is False
    file = tmp_path / "options.yaml"
    for word, on in {"true": True, "True": True, "YES": True, "false": False, "False": False, "off": False}.items():
        file.write_text(f"{switch}: {word}\n")
        assert state(config, switch, "--config", str(file)) is on


def test_of_two_spellings_the_later_one_counts_and_a_flag_wins_over_the_file(tmp_path: Path) -> None:
    assert state(ProbeConfig, "umap", "--umap", "--no-umap") is False
    assert state(ProbeConfig, "umap", "--no-umap", "--umap") is True
    file = tmp_path / "options.yaml"
    file.write_text("umap: true\n")
    assert state(ProbeConfig, "umap", "--config", str(file), "--no-umap") is False


def test_a_switch_that_may_be_left_to_the_model_is_none_unless_it_is_named() -> None:
    assert state(PredictConfig, "largest") is None
    assert state(PredictConfig, "largest", "--largest", "None") is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--no-umap", "True"], "--no-umap takes no value, got True; write --umap or --no-umap"),
        (["--umap", "maybe"], "--umap takes True or False; got 'maybe'"),
        (["--no-umpa"], "test has no option --no_umpa; did you mean --umap?"),
        (["--no-seed"], "test has no option --no_seed; did you mean --seed?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_switch_is_answered_with_its_spellings(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        state(ProbeConfig, "umap", *words)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("config", "switch"), SWITCHES, ids=lambda value: getattr(value, "__name__", value))
def test_the_help_shows_both_spellings(config: type[Any], switch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(config, "test", ["--help-all"])
    assert stop.value.code == 0
    assert f"--{switch}/--no-{switch}" in capsys.readouterr().out
