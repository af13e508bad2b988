import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from dermssl.errors import UserError
from dermssl.runs.seal import broken
from dermssl.splits.drawn import Split
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from probe.config import ProbeConfig
from probe.run import limited_split, run

Draw = Callable[..., Path]
SMALLEST, WITH_WEIGHTS = "tu-test_efficientnet", "tu-tf_efficientnet_lite0"


class Finished(NamedTuple):
    """A probe that is done, for tests that read it."""

    config: ProbeConfig
    folder: Path


def options(data: Path, tmp_path: Path, **more: object) -> ProbeConfig:
    small = {
        "init": "random",
        "encoder": SMALLEST,
        "image_size": 64,
        "k": 3,
        "dense_images": (4, 50),
        "umap": False,
        "sheets": False,
        "explorer": False,
        "threads": 1,
    }
    few = {
        "data": data,
        "out": tmp_path / "runs",
        "val_fraction": 0.34,
        "split_seed": 2,
    }  # a lesion of each class held out
    return ProbeConfig(**(small | few | more))


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def test_a_probe_of_a_dozen_images_measures_classes_and_masks(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(options(draw(), tmp_path))
    result = result_of(folder)
    assert (result["init"], result["n_images"], result["n_train"], result["n_val"]) == ("random", 12, 8, 4)
    assert set(result["knn"]) == {"balanced_accuracy", "low", "high", "n", "k", "classes", "recall"}
    assert set(result["linear"]) == {"balanced_accuracy", "low", "high", "n", "C"}
    assert set(result["dense_by_images"]) == {"4", "8"}
    assert result["dense"] == result["dense_by_images"]["8"]
    assert result["skipped"] == {
        "umap": "not asked for (--no-umap)",
        "cka": "there is only one encoder; name others with --against",
    }
    assert set(result["invariance"]) == {"recognised", "pairs", "strangers", "rankme", "alignment", "uniformity"}
    scores = pd.read_parquet(folder / "scores.parquet")
    assert scores.groupby("n_train")["jaccard"].mean()[8] == pytest.approx(result["dense"]["jaccard"])
    assert (folder / "tables" / "knn_confusion.csv").exists()
    said = capsys.readouterr().out
    assert "--dense_images 50: only 8 images with a mask can be fitted on" in said
    assert f"open:    {folder / 'result.json'}\nresults: {folder}\nnext:    python -m finetune" in said


@pytest.fixture(scope="module")
def finished(dozen: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A probe of twelve images."""
    config = options(dozen, tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DERMSSL_CACHE", raising=False)
        return Finished(config, run(config))


def without_costs(result: dict[str, object]) -> dict[str, object]:
    costs = {"seconds", "images_per_second", "memory_mb", "gpu_memory_mb", "energy_wh", "energy_of", "host"}
    return {name: value for name, value in result.items() if name not in costs}


def test_a_finished_run_is_sealed_and_tells_its_costs(finished: Finished) -> None:
    folder = finished.folder
    assert broken(folder) == []
    assert {"scores.parquet", "tables/knn_confusion.csv", "result.json"} < hashes_in_seal(folder)
    result = result_of(folder)
    assert result["images_per_second"] == pytest.approx(12 / result["seconds"])
    assert result["memory_mb"] > 100
    assert result["host"]


def hashes_in_seal(folder: Path) -> set[str]:
    return set(json.loads((folder / "seal.json").read_text())["files"])


def test_two_runs_find_the_same_but_for_their_costs(finished: Finished, tmp_path: Path) -> None:
    one, two = finished.folder, run(replace(finished.config, out=tmp_path / "runs"))
    assert one.name == two.name
    assert without_costs(result_of(one)) == without_costs(result_of(two))
    assert pd.read_parquet(one / "scores.parquet").equals(pd.read_parquet(two / "scores.parquet"))


def test_a_run_that_stands_is_refused_or_returned(finished: Finished) -> None:
    config, folder = finished
    written = (folder / "result.json").stat().st_mtime_ns
    with pytest.raises(UserError, match="is there already"):
        run(config)
    assert run(config, standing_is_fine=True) == folder
    assert (folder / "result.json").stat().st_mtime_ns == written


def test_images_without_masks_and_classes_are_said_to_be_so(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(run(options(draw(masks=False, classes=False), tmp_path)))
    assert set(result["skipped"]) == {"knn", "linear", "dense", "umap", "cka"}
    assert "skipped: the dense probe of masks: no masks" in capsys.readouterr().out


def test_images_without_a_mask_or_a_class_are_left_out_and_counted(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = draw()
    (data / "masks" / "picture_03.png").unlink()
    table = pd.read_csv(data / "metadata.csv")
    table.assign(dx=table["dx"].where(~table.index.isin([2, 4]))).to_csv(data / "metadata.csv", index=False)
    run(options(data, tmp_path, dense_images=(4,)))
    said = capsys.readouterr().out
    assert "left out of the kNN and the linear probe: images without a class (2)" in said
    assert "left out of the dense probe: images whose mask is missing or unusable (1)" in said


def test_too_many_neighbours_are_clamped_and_said_to_be(
    draw: Draw, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(run(options(draw(), tmp_path, k=20)))
    assert result["knn"]["k"] == 8
    assert "--k 20: only 8 images with a class can vote" in capsys.readouterr().out


def test_an_encoder_file_is_measured_and_known_as_ssl(draw: Draw, tmp_path: Path) -> None:
    start = start_from("random", SMALLEST, seed=0)
    card = EncoderCard(encoder=start.card.encoder, method="simclr", mean=start.card.mean, std=start.card.std)
    write_encoder_file(tmp_path / "checkpoints" / "simclr.safetensors", start.encoder.state_dict(), card)
    folder = run(options(draw(), tmp_path, init="ssl", checkpoints=tmp_path / "checkpoints", dense_images=(4,)))
    assert result_of(folder)["init"] == "ssl"
    assert result_of(folder)["encoder_sha256"] == start.sha256


def test_an_encoder_file_of_another_encoder_is_refused_without_a_trace(draw: Draw, tmp_path: Path) -> None:
    start = start_from("random", "resnet18", seed=0)
    path = tmp_path / "encoder.safetensors"
    write_encoder_file(path, start.encoder.state_dict(), start.card)
    with pytest.raises(UserError, match="holds 'resnet18'"):
        run(options(draw(), tmp_path, init=str(path)))
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images"):
        run(options(tmp_path / "empty", tmp_path))


def test_a_limit_takes_from_both_sides_and_moves_no_image_across() -> None:
    split = Split(0, "image", tuple("abcdefgh"), tuple("xy"))
    assert limited_split(split, None) is split
    assert limited_split(split, 5).train == ("a", "b", "c", "d")
    assert limited_split(split, 5).val == ("x",)
    assert limited_split(split, 2) == Split(0, "image", ("a",), ("x",))


@pytest.mark.slow
def test_encoders_side_by_side_are_measured_alike_and_compared(draw: Draw, tmp_path: Path) -> None:
    data, alike = draw(), {"encoder": WITH_WEIGHTS, "dense_images": (4,)}
    folder = run(options(data, tmp_path, init="imagenet", against="random", sheets=True, **alike))
    result = result_of(folder)
    first, second = result["encoders"]
    assert (first["init"], second["init"]) == ("imagenet", "random")
    assert first["knn"] == result["knn"]
    assert first.keys() == second.keys()
    assert list(result["cka"]) == ["imagenet and random"]
    assert len(result["cka"]["imagenet and random"]) == 5  # stages
    tables, figures = ({path.name for path in (folder / kind).iterdir()} for kind in ("tables", "figures"))
    assert {
        "knn_confusion.csv",
        "knn_confusion_random.csv",
        "cka_imagenet_random.csv",
        "nearest_strangers.csv",
    } <= tables
    assert {"neighbours.png", "neighbours_random.png", "where_it_looks.png", "cka_imagenet_random.png"} <= figures
    alone = result_of(run(options(data, tmp_path, out=tmp_path / "alone", **alike)))
    assert alone["knn"] == second["knn"]  # beside another or alone: the same
    assert alone["invariance"] == second["invariance"]


def test_masks_may_lie_elsewhere(draw: Draw, tmp_path: Path) -> None:
    data = draw()
    (data / "masks").rename(tmp_path / "drawn")
    assert "dense" in result_of(run(options(data, tmp_path, out=tmp_path / "bare")))["skipped"]
    result = result_of(run(options(data, tmp_path, masks=str(tmp_path / "drawn"), dense_images=(4,))))
    assert result["dense"]["n_train"] == 4
