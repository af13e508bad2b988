"""Every command goes over the zoo: what it can read it uses, what it cannot is told before any work."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import finetune.run
import finetune.training.loop
import pretrain.run
import probe.run
from data.zoo import zoo
from data.zoo.exhibit import Exhibit, Read, Refused, gather_pairs, gathered_id
from data.zoo.reading import reading_of
from dermssl.appearance.covariates import THRESHOLDS
from dermssl.check.cleaned_copy import UNLABELLED, write_cleaned_copy
from dermssl.check.config import CheckConfig
from dermssl.check.findings import findings_of
from dermssl.check.run import run as check
from dermssl.data.images import read_rgb
from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.errors import UserError
from dermssl.splits import near_duplicates
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from pretrain.recipes import SimCLRConfig
from probe.config import ProbeConfig

pytestmark = pytest.mark.usefixtures("apart", "no_near_duplicates")

ENCODER = "tu-test_efficientnet"
SMALL = {"encoder": ENCODER, "init": "random", "image_size": 32, "threads": 1, "on_leak": "allow"}
NO_PAIRS = pd.DataFrame(columns=near_duplicates.COLUMNS)


@pytest.fixture(scope="module")
def no_near_duplicates() -> Iterator[None]:
    """The odd pictures are one picture in many files, all of them near-duplicates: a search would find no two apart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "confirmed_look_alikes", lambda *_: NO_PAIRS)
        yield


class Gathered:
    """All odd pairs as one set, and a split of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "set"
        self.exhibits = gather_pairs(tuple(zoo().values()), self.folder)
        self.ids = sorted(map(gathered_id, self.exhibits))
        self.split = folder / "split.json"
        self.split.write_text(json.dumps({"train": self.ids[::2], "val": self.ids[1::2]}))


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    return Gathered(tmp_path_factory.mktemp("gathered"))


@pytest.fixture(scope="module")
def finished(gathered: Gathered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tuning on all odd pairs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, "draw_figures", lambda *_: None)
        patch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})
        return finetune.run.run(
            FinetuneConfig(data=gathered.folder, split=str(gathered.split), out=tmp_path_factory.mktemp("runs"),
                           cache_size=32, steps=2, batch_size=8, lr=1e-3, **SMALL)
        )  # fmt: skip


def test_fine_tuning_trains_on_and_scores_every_pair_that_can_be_read(finished: Path, gathered: Gathered) -> None:
    result, scores = json.loads((finished / "result.json").read_text()), pd.read_parquet(finished / "scores.parquet")
    assert (result["n_train"], result["n_val"]) == (len(gathered.ids[::2]), len(gathered.ids[1::2]))
    lesions = {gathered_id(exhibit): exhibit.outcome.lesions[exhibit.odd] for exhibit in gathered.exhibits
               if isinstance(exhibit.outcome, Read)}  # fmt: skip
    for row in scores.itertuples():
        lesion = lesions[str(row.image_id)]
        assert (row.tp + row.fn, row.height, row.width) == (lesion.sum(), *lesion.shape), row.image_id


def test_pretraining_sees_every_picture_that_can_be_read(gathered: Gathered, tmp_path: Path) -> None:
    config = SimCLRConfig(data=gathered.folder, split=str(gathered.split), out=tmp_path, checkpoints=None, batch_size=8,
                          epochs=1, cache_size=32, hidden_dim=8, projection_dim=8, look_every=0, **SMALL)  # fmt: skip
    log = (pretrain.run.run(config).parent / "log.txt").read_text()
    assert f"images: {len(gathered.ids)} from" in log
    assert f"{len(gathered.ids)} files passed over: {len(gathered.ids)} taken for masks (masks/...)" in log


def test_probing_measures_every_picture_that_can_be_read(gathered: Gathered, tmp_path: Path) -> None:
    config = ProbeConfig(data=gathered.folder, split=str(gathered.split), out=tmp_path, k=3, dense_images=(4,),
                         umap=False, sheets=False, explorer=False, pairs=4, **SMALL)  # fmt: skip
    result = json.loads((probe.run.run(config) / "result.json").read_text())
    assert (result["n_train"], result["n_val"]) == (len(gathered.ids[::2]), len(gathered.ids[1::2]))


def test_prediction_gives_every_readable_picture_a_mask_of_its_size_and_names_the_others(
    finished: Path, gathered: Gathered, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [exhibit for exhibit in zoo().values() if isinstance(exhibit.outcome, Refused)
              and exhibit.outcome.kind in ("unreadable", "truncated") and odd_picture(exhibit)]  # fmt: skip
    place = tmp_path / "pictures"
    for exhibit in broken:
        name = odd_picture(exhibit)
        (place / exhibit.name).mkdir(parents=True)
        (place / exhibit.name / f"{exhibit.name}{Path(name).suffix}").write_bytes(exhibit.files[name])
    (place / "phone.heic").write_bytes(b"\0" * 40)
    (place / "images").symlink_to(gathered.folder / "images")
    outcome = predict_masks(PredictConfig(model=finished, images=place, out=tmp_path / "out", threads=1))
    assert (outcome.written, len(outcome.damaged), outcome.exit_code) == (len(gathered.ids), len(broken), 1)
    assert sorted(damaged.picture.name for damaged in outcome.damaged) == sorted(exhibit.name for exhibit in broken)
    for exhibit in gathered.exhibits:
        assert isinstance(exhibit.outcome, Read)
        mask = cv2.imread(str(tmp_path / "out" / f"{gathered_id(exhibit)}_segmentation.png"), cv2.IMREAD_UNCHANGED)
        assert mask.shape == exhibit.outcome.lesions[exhibit.odd].shape, exhibit.name
    assert "1 file passed over: 1 .heic (not read)" in capsys.readouterr().err


def odd_picture(exhibit: Exhibit) -> str:
    """Where the picture lies that an exhibit is about; nothing where it is a link or not there."""
    return "" if exhibit.links else next((name for name in exhibit.files if Path(name).stem == exhibit.odd), "")


Look = Callable[[Exhibit], Manifest | str]


@pytest.fixture(scope="module")
def look_over(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Draws an exhibit and reads it, once: its manifest, or the sentence that refused it."""

    @cache
    def read(name: str) -> Manifest | str:
        exhibit = zoo()[name]
        try:
            return read_manifest(exhibit.draw(tmp_path_factory.mktemp("set")), reading_of(exhibit))
        except UserError as error:
            return str(error)

    return lambda exhibit: read(exhibit.name)


@pytest.mark.parametrize("every", [16, pytest.param(1, marks=pytest.mark.slow)])
def test_what_a_check_calls_sound_a_training_takes_and_the_other_way_round(every: int, look_over: Look) -> None:
    apart = []
    for name, exhibit in list(zoo().items())[::every]:
        manifest = look_over(exhibit)
        if isinstance(manifest, str):
            continue
        scores = pd.DataFrame(np.nan, index=manifest.table.index, columns=list(THRESHOLDS))
        errors = findings_of(manifest, NO_PAIRS, scores, None).query("severity == 'error'")
        refusal = ""
        try:
            refuse_problems(manifest, masks=manifest.has_masks)
        except UserError as error:
            refusal = str(error)
        if bool(len(errors)) != bool(refusal):
            apart.append((name, errors["kind"].tolist(), refusal))
    assert apart == []


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_a_check_ends_over_every_exhibit_with_a_report_or_a_sentence(every: int, tmp_path: Path) -> None:
    for exhibit in list(zoo().values())[::every]:
        ends_with_a_report_or_a_sentence(exhibit, tmp_path)


def ends_with_a_report_or_a_sentence(exhibit: Exhibit, place: Path) -> None:
    """Runs a check as a person would; whatever it raises but a sentence or its exit code fails the test."""
    (place / exhibit.name).mkdir()
    reading = reading_of(exhibit)
    config = CheckConfig(data=exhibit.draw(place / exhibit.name), out=place / "out" / exhibit.name, masks=reading.masks,
                         lesion_value=reading.lesion_value)  # fmt: skip
    try:
        with suppress(SystemExit):
            check(config)
    except UserError:
        assert isinstance(exhibit.outcome, Refused), exhibit.name
        assert exhibit.outcome.kind == "set", exhibit.name
    else:
        assert list((place / "out" / exhibit.name).rglob("check.html"))


@pytest.mark.parametrize("every", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_a_cleaned_copy_has_the_pixels_and_the_lesions_of_what_could_be_read(
    every: int, look_over: Look, tmp_path: Path
) -> None:
    for name, exhibit in list(zoo().items())[::every]:
        manifest = look_over(exhibit)
        if isinstance(manifest, str) or not isinstance(exhibit.outcome, Read):
            continue
        place = tmp_path / name
        write_cleaned_copy(place, manifest, NO_PAIRS)
        compare_with_copy(manifest, place)


def compare_with_copy(manifest: Manifest, place: Path) -> None:
    """Asserts that every image of a cleaned copy has the pixels and the lesion that it had before."""
    copy = read_manifest(place if manifest.has_masks or not (place / UNLABELLED).exists() else place / UNLABELLED)
    before = {image.replace("/", "__"): row for row, image in enumerate(manifest.table["image_id"])}
    bare = int((manifest.table["mask_path"] == "").sum()) if manifest.has_masks else 0
    assert len(copy) == manifest.table["sha256"].nunique() - bare
    for row, image in enumerate(copy.table["image_id"]):
        old = before[image]
        assert np.array_equal(read_rgb(copy.paths()[row]), read_rgb(manifest.paths()[old])), (place.name, image)
        if manifest.has_masks:
            assert np.array_equal(copy.lesion(row), manifest.lesion(old)), (place.name, image)
