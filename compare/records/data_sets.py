"""The data sets of a study, as far as their folders are where its runs found them."""

from dataclasses import dataclass
from pathlib import Path

from compare.records.run_files import finished_runs, run_options
from compare.records.study import Study
from dermssl.data.config import Reading
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.sources import LABELLED, SYNTHETIC_LABELLED, is_data_set
from dermssl.weights.encoder_file import read_card
from dermssl.weights.tensor_file import read_fields


@dataclass(frozen=True)
class DataSets:
    """What is there of a study's images today, and the hashes of what its runs saw."""

    labelled: Manifest | None
    """Trained on and scored; None where the folder is gone or holds other images."""
    unlabelled: Manifest | None
    """Pretrained on; None where nothing was pretrained, or the folder is gone."""
    labelled_seen: frozenset[str]
    """Manifests that fine-tuning has seen; one where nobody has changed an image meanwhile."""
    unlabelled_seen: frozenset[str]
    """Manifests that pretraining has seen, less what it left out."""
    unlabelled_counts: frozenset[int] = frozenset()
    """Numbers of images in those."""


def data_sets(study: Study) -> DataSets:
    """Looks for the data sets of a study; a table that needs them does so itself where it is not given them."""
    models = [Path(folder) / "model.safetensors" for folder in finished_runs(study.runs("finetune"))["folder"]]
    cards = [read_card(file) for file in encoder_files(study)]
    return DataSets(
        labelled_set(study),
        unlabelled_set(study),
        frozenset(str(read_fields(file).get("data") or "") for file in models if file.is_file()) - {""},
        frozenset(str(card.data.get("manifest") or "") for card in cards) - {""},
        frozenset(int(str(card.data.get("count") or 0)) for card in cards) - {0},
    )


def labelled_set(study: Study) -> Manifest | None:
    """The images that the study trains on and scores, if all that were scored are there."""
    if study.kept:  # whose facts of images were kept as they were
        return None
    first = next(iter(finished_runs(study.runs("finetune"))["folder"]), "")
    declared = study.options.get("data") or run_options(first).get("data")
    usual = (LABELLED, SYNTHETIC_LABELLED) if len(study.scores) else ()  # where it lies when nobody says
    for folder in (declared,) if declared else usual:
        if is_data_set(Path(str(folder))):
            manifest = read_manifest(Path(str(folder)), reading_of(study))
            if set(study.lesions.index) <= set(manifest.table["image_id"]):
                return manifest
    return None


def unlabelled_set(study: Study) -> Manifest | None:
    """The images that the study pretrained on."""
    for file in encoder_files(study):
        folder = read_card(file).data.get("folder") or study.options.get("unlabelled")
        if folder and is_data_set(Path(str(folder))):
            return read_manifest(Path(str(folder)), reading_of(study))
    return None


def reading_of(study: Study) -> Reading:
    """What the study was told of how its masks are named and which of their values is lesion."""
    masks, value = study.options.get("masks"), study.options.get("lesion_value")
    return Reading(masks=str(masks) if masks else None, lesion_value=str(value) if value is not None else None)


def encoder_files(study: Study) -> list[Path]:
    """The encoder file of every finished pretraining, where it is there."""
    files = [Path(folder) / "encoder.safetensors" for folder in finished_runs(study.runs("pretrain"))["folder"]]
    return [file for file in files if file.is_file()]
