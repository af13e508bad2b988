"""Runs that score inner images: a choice on the training side, for which no held-out image is looked at."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermssl import flags
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.runs.folder import Run
from dermssl.splits.near_duplicates import near_pairs
from dermssl.splits.official import split_of
from dermssl.training.checkpoint import newest_whole
from finetune.options.config import FinetuneConfig
from finetune.run import run
from finetune.training.inner_part import set_aside

SMALL = {
    "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "steps": 5,
    "batch_size": 4, "val_fraction": 0.25, "threads": 1, "lr": 3e-3, "inner_fraction": 0.3,
}  # fmt: skip

Options = Callable[..., FinetuneConfig]


@pytest.fixture
def options(photographs: Path, tmp_path: Path, no_figures: None) -> Options:
    """A config with small defaults that scores inner images, writing below this test's own folder."""

    def made(**more: object) -> FinetuneConfig:
        place = {"data": photographs, "out": tmp_path / "runs", "score_on": "inner"}
        return FinetuneConfig(**(SMALL | place | more))

    return made


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def scored_in(folder: Path) -> list[str]:
    return list(pd.read_parquet(folder / "scores.parquet")["image_id"])


def held_out(manifest: Manifest, config: FinetuneConfig) -> Manifest:
    return manifest.take(split_of(manifest, config).val)


def test_the_images_that_were_set_aside_are_scored_and_did_not_train(options: Options) -> None:
    config = options()
    folder, manifest = run(config), read_manifest(config.data)
    train = split_of(manifest, config).train
    parts = set_aside(manifest, train, 0.3, config.split_seed)
    assert sorted(scored_in(folder)) == sorted(parts.inner)
    result, scores = result_of(folder), pd.read_parquet(folder / "scores.parquet")
    assert (result["scored"], result["n_train"], result["n_inner"], result["n_val"]) == ("inner", 8, 4, 0)
    assert result["jaccard"] == pytest.approx(scores["jaccard"].mean())
    assert (scores[["tp", "fp", "fn", "tn"]].sum(axis=1) == scores["width"] * scores["height"]).all()


def test_it_trains_as_any_run_that_sets_the_same_images_aside(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "drop_checkpoints", lambda _: None)
    other = run(options(score_on="held_out", threshold_search=True))
    assert result_of(other)["scored"] == "held_out"
    ours, theirs = (
        torch.load(newest_whole(folder / "checkpoints"), weights_only=True)["state_dict"]
        for folder in (run(options()), other)
    )
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def spoil(path: Path) -> None:
    """Makes a file of noughts of it whose size and time are as they were, so that only a reader of it can tell."""
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_neither_pictures_nor_masks_of_held_out_images_are_read(
    options: Options, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    data = shutil.copytree(photographs, tmp_path / "data", ignore=shutil.ignore_patterns(".dermssl"))
    near_pairs(manifest := read_manifest(data))  # what is known of every set before anything is trained
    held = held_out(manifest, options())
    for path in held.paths() + held.paths("mask_path"):
        spoil(path)
    spoiled = run(options(data=data, patience=2, threshold_search=True, out=tmp_path / "spoiled"))
    whole = run(options(patience=2, threshold_search=True))
    assert pd.read_parquet(spoiled / "scores.parquet").equals(pd.read_parquet(whole / "scores.parquet"))
    assert result_of(spoiled)["jaccard"] == result_of(whole)["jaccard"]
    with pytest.raises(Exception, match=held.table["image_id"][0]):
        run(options(data=data, score_on="held_out"))


def test_nothing_but_numbers_is_kept_of_it(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    folder = run(options())
    left = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert left == {
        "config.yaml", "environment.json", "identity.json", "log.txt", "metrics.csv", "result.json", "scores.parquet",
        "seal.json", "split.json", "tables",
    }  # fmt: skip
    assert result_of(folder)["invented_lesions"] is None


def test_its_last_lines_say_what_was_scored_and_how_to_score_what_was_chosen(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    config = options()
    folder = run(config)
    score, opened, results, following = capsys.readouterr().out.splitlines()[-4:]
    assert score.startswith(f"inner images: mean IoU {result_of(folder)['jaccard']:.3f}, ISIC")
    assert "(n = 4 images at native size, seed 0" in score
    assert score.endswith("; no held-out image was looked at)")
    assert opened == f"open:    {folder / 'metrics.csv'}"
    assert results == f"results: {folder}"
    command = following.removeprefix("next:    python -m finetune ").split()
    assert flags.parse(FinetuneConfig, "test", command) == options(score_on="held_out")


def test_it_is_another_run_than_the_one_that_scores_held_out_images(options: Options) -> None:
    assert run(options(steps=1)).name != run(options(steps=1, score_on="held_out")).name


def test_a_limit_holds_for_it_too(options: Options) -> None:
    result = result_of(run(options(limit=8, steps=1)))
    assert result["n_train"] + result["n_inner"] == 6
