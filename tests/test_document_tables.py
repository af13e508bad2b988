"""The tables of the documents say what the code says: every field, column, default and decoder."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
from pages import ARCHITECTURE, DOCS, ROOT, rows, spans, table_values

from compare.execution.ledger import Event
from compare.study.config import StudyConfig
from compare.study.factors import PLAN_COLUMNS
from compare.study.plan import tasks_of
from compare.tables.all_tables import ARMS, CONTRASTS
from dermssl import flags
from dermssl.data.manifest import COLUMNS as MANIFEST
from dermssl.exchange.export_config import ExportConfig
from dermssl.exchange.import_config import ImportConfig
from dermssl.scores.counts import SCORES
from dermssl.weights.encoder_file import EncoderCard
from finetune.network.model_file import ModelCard
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import Decoder
from finetune.predict.config import EnsembleConfig, PredictConfig
from finetune.preview.config import PreviewConfig
from pretrain.known_methods import METHODS, recipe_of


def test_the_tables_of_the_architecture_name_every_field() -> None:
    wanted = {field.name for card in (EncoderCard, ModelCard) for field in fields(card)} | set(PLAN_COLUMNS)
    assert wanted - table_values(ARCHITECTURE) - set(spans(ARCHITECTURE)) == set()


def test_the_table_of_scores_names_every_score() -> None:
    assert set(SCORES) - table_values(DOCS / "finetuning.md") == set()


def test_what_pages_say_of_encoders_and_of_processes_is_what_was_measured() -> None:
    differences = [row[2:] for row in rows(DOCS / "results" / "processes.md") if row[1:] and row[1].isdigit()]
    told = re.search(r"to (\de-\d+) in float64", (DOCS / "scaling.md").read_text())
    assert told is not None
    assert max(float(cell) for row in differences for cell in row) == float(told[1])
    shares = [row for row in rows(DOCS / "results" / "encoder_shares.md") if row[0].startswith("`")]
    assert ("sixty encoders" in (DOCS / "finetuning.md").read_text()) == (len(shares) == 60)


def test_the_events_of_a_study_are_named_where_its_history_is_told() -> None:
    events = re.search(r"(began, [\w,\s]*)", ARCHITECTURE.read_text())
    assert events is not None
    assert set(re.findall(r"\w+", events[1])) == set(get_args(Event))


def test_the_shipped_studies_have_as_many_fine_tunings_as_the_table_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told: dict[str, int] = {}
    for names, _, counts in (row for row in rows(DOCS / "studies.md") if re.fullmatch(r"\d+(, \d+)*", row[-1])):
        studies, numbers = re.findall(r"`(\w+)`", names), [int(count) for count in counts.split(", ")]
        told |= dict(zip(studies, numbers * (len(studies) if len(numbers) == 1 else 1), strict=True))
    assert told == {path.stem: fine_tunings(path) for path in (ROOT / "configs" / "compare").glob("*.yaml")}


def fine_tunings(path: Path) -> int:
    study = flags.parse(StudyConfig, "test", ["--config", str(path)])
    return sum(task.stage == "finetune" for task in tasks_of(study, threads=1))


@pytest.mark.parametrize(
    ("page", "config"),
    [
        ("encoders.md", ImportConfig), ("encoders.md", ExportConfig),
        ("finetuning.md", PredictConfig), ("finetuning.md", EnsembleConfig), ("finetuning.md", PreviewConfig),
    ],
)  # fmt: skip
def test_a_page_tells_of_every_option_of_its_commands(page: str, config: type[Any]) -> None:
    text = (DOCS / page).read_text()
    assert [option.name for option in fields(config) if not re.search(rf"--{option.name}\b", text)] == []


def test_the_table_of_the_manifest_names_every_column() -> None:
    assert set(MANIFEST) - table_values(DOCS / "data.md") == set()


def test_the_tables_of_the_statistics_name_every_column() -> None:
    assert {*CONTRASTS, *ARMS} - set(spans(DOCS / "statistics.md")) == set()


TITLES = {
    "simclr": "SimCLR", "moco": "MoCo v2", "mocov3": "MoCo v3", "byol": "BYOL", "simsiam": "SimSiam",
    "barlow_twins": "Barlow Twins", "vicreg": "VICReg", "dino": "DINO", "swav": "SwAV", "densecl": "DenseCL",
    "vicregl": "VICRegL", "decoder": "Decoder", "decon": "DeCon",
    "distill": "Distillation", "spark": "SparK",
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_the_defaults_in_the_sections_of_methods_are_the_defaults(method: str) -> None:
    assert_defaults(section("methods.md", f"### {TITLES[method]}"), recipe_of(method)(), least=2)


def test_the_defaults_in_the_table_of_fine_tuning_are_the_defaults() -> None:
    assert_defaults(section("finetuning.md", "## Defaults"), FinetuneConfig(), least=10)


def test_the_table_of_rates_has_the_defaults_of_every_method() -> None:
    told = {row[0].strip("`"): row for row in rows(DOCS / "methods.md") if len(row) == 5 and row[1][:1].isupper()}
    assert {*told} == {*METHODS}
    for method, (_, rate, _, decay, _) in told.items():
        optimiser, lr = rate.split()[:2]
        default = recipe_of(method)()
        assert (optimiser.strip(",").lower(), float(lr.strip(","))) == (default.optimiser, default.lr)
        assert float(decay.partition(";")[0]) == default.weight_decay


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one."""
    text = (DOCS / page).read_text().partition(f"\n{heading}\n")[2]
    return re.split(r"\n##", text, maxsplit=1)[0]


def assert_defaults(text: str, config: object, least: int) -> None:
    """That at least so many defaults are told, in rows "`name` | 0.1" or as "`name` 0.1", and that all are right."""
    told: list[tuple[str, str]] = re.findall(r"`(\w+)`\s+(\d+(?: \d{3})+|[\d.e+-]*\d)", text)
    for names, values in re.findall(r"^\| (`.*?) \| (.*?) \|", text, re.MULTILINE):
        told += [*zip(re.findall(r"`(\w+)`", names), values.split(", "), strict=False)]
    defaults = [(name, value.replace(" ", ""), getattr(config, name)) for name, value in told if hasattr(config, name)]
    assert [pair for pair in defaults if pair[1] != str(pair[2]) and float(pair[1]) != float(pair[2])] == []
    assert len(defaults) >= least


def test_the_decoders_that_are_named_are_those_that_there_are() -> None:
    row = re.search(r"^\| `decoder` \| (.*)$", section("finetuning.md", "## Defaults"), re.MULTILINE)
    assert row is not None
    assert set(re.findall(r"[a-z]\w+", row[1])) - {"also", "smp"} == set(get_args(Decoder))
