"""What can be fetched: the files of each data set, where they lie, under which licence, and what its tables mean."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermssl.errors import UserError, first_ten
from dermssl.files import whole_file

CHALLENGE_2018 = "https://isic-archive.s3.amazonaws.com/challenges/2018/"
MIRROR = "DERMSSL_MIRROR"

MetadataRow = Mapping[str, str]


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch; a zip becomes the folder of its name."""

    name: str
    sha256: str | None = None
    """The file's checksum; None where nobody published it, so that only its length can be verified."""

    @property
    def makes(self) -> str:
        """What stands in the data set's folder in the end."""
        return self.name.removesuffix(".zip")


@dataclass(frozen=True)
class DataSet:
    """A data set of plain files at one address."""

    title: str
    base: str
    """The folder's address."""
    parts: Mapping[str, tuple[RemoteFile, ...]]
    licence: str
    citation: str

    def files(self, parts: Sequence[str]) -> list[RemoteFile]:
        """The files of these parts, in the catalogue's order and each once."""
        return [file for part, files in self.parts.items() if part in parts for file in files]


ISIC2018 = DataSet(
    title="ISIC 2018, task 1",
    base=CHALLENGE_2018,
    parts={
        "train": (
            RemoteFile(
                "ISIC2018_Task1-2_Training_Input.zip",
                "80f98572347a2d7a376227fa9eb2e4f7459d317cb619865b8b9910c81446675f",
            ),
            RemoteFile(
                "ISIC2018_Task1_Training_GroundTruth.zip",
                "99f8b2bb3c4d6af483362010715f7e7d5d122d9f6c02cac0e0d15bef77c7604c",
            ),
        ),
        "validation": (
            RemoteFile(
                "ISIC2018_Task1-2_Validation_Input.zip",
                "0ea920fcfe512d12a6e620b50b50233c059f67b10146e1479c82be58ff15a797",
            ),
            RemoteFile(
                "ISIC2018_Task1_Validation_GroundTruth.zip",
                "f6911e9c0a64e6d687dd3ca466ca927dd5e82145cb2163b7a1e5b37d7a716285",
            ),
        ),
        "test": (
            RemoteFile(
                "ISIC2018_Task1-2_Test_Input.zip",
                "e59ae1f69f4ed16f09db2cb1d76c2a828487b63d28f6ab85997f5616869b127d",
            ),
            RemoteFile(
                "ISIC2018_Task1_Test_GroundTruth.zip",
                "2e8f6edce454a5bdee52485e39f92bd6eddf357e81f39018d05512175238ef82",
            ),
        ),
    },
    licence="CC BY-NC 4.0 or CC-0, by the year an image comes from; the licence inside each archive is what counts",
    citation="Codella et al. 2019, arXiv:1902.03368; Tschandl et al. 2018, doi:10.1038/sdata.2018.161",
)
HAM_IMAGES = "ISIC2018_Task3_Training_Input"
HAM_CLASSES = "ISIC2018_Task3_Training_GroundTruth"
HAM_LESIONS = "ISIC2018_Task3_Training_LesionGroupings.csv"
HAM10000 = DataSet(
    title="HAM10000, as ISIC 2018 task 3",
    base=CHALLENGE_2018,
    parts={"all": (RemoteFile(f"{HAM_IMAGES}.zip"), RemoteFile(f"{HAM_CLASSES}.zip"), RemoteFile(HAM_LESIONS))},
    licence="CC BY-NC 4.0: not for commercial use, and with the authors named",
    citation="Tschandl, Rosendahl, Kittler 2018, doi:10.1038/sdata.2018.161; Codella et al. 2019, arXiv:1902.03368",
)
CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
DX_TYPES = {  # ISIC's words -> those of HAM10000's own table
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
}
ARCHIVE_LICENCE = "by image: CC-0, CC BY or CC BY-NC, in the column licence of metadata.csv"
ARCHIVE_CITATION = "the institutions that attribution.txt names, and the ISIC Archive, https://www.isic-archive.com"
DIAGNOSES = ("diagnosis", "diagnosis_3", "diagnosis_2", "diagnosis_1")  # the third level names diseases


def address_of(file: RemoteFile, base: str) -> str:
    """Where a file lies: in the folder that the variable `DERMSSL_MIRROR` names, else in the data set's own."""
    return f"{(os.environ.get(MIRROR) or base).rstrip('/')}/{file.name}"


def ham10000_rows(classes: Path, lesions: Path) -> Iterator[MetadataRow]:
    """HAM10000's metadata from the challenge's two tables: one-hot classes, and lesions with their confirmation.

    Raises:
        UserError: If an image has no class or no lesion.
    """
    groups = {row["image"]: row for row in csv_rows(lesions, ("image", "lesion_id", "diagnosis_confirm_type"))}
    rows = csv_rows(classes, ("image", *CLASSES))
    names = {row["image"]: [column.lower() for column in CLASSES if is_one(row[column])] for row in rows}
    unknown = sorted(image for image, classes_of in names.items() if len(classes_of) != 1 or image not in groups)
    if unknown:
        raise UserError(f"{classes}: {first_ten(unknown)} without one class and a lesion in {lesions}; fetch both anew")
    for image, (dx,) in names.items():
        confirmed = groups[image]["diagnosis_confirm_type"]
        lesion = groups[image]["lesion_id"]
        yield {"image_id": image, "lesion_id": lesion, "dx": dx, "dx_type": DX_TYPES.get(confirmed, confirmed)}


def is_one(value: str) -> bool:
    """Whether a cell of a one-hot table says yes: `1` and `1.0` do."""
    return value.replace(".", "", 1).isdigit() and float(value) == 1


def archive_rows(metadata: Path) -> Iterator[MetadataRow]:
    """What isic-cli wrote, with the columns that the manifest reads in front; none of its own is lost."""
    for row in csv_rows(metadata, ("isic_id", "copyright_license")):
        columns = {
            "image_id": row["isic_id"],
            "lesion_id": row.get("lesion_id", ""),
            "patient_id": row.get("patient_id", ""),
            "dx": next((row[column] for column in DIAGNOSES if row.get(column)), ""),
            "licence": row["copyright_license"],
        }
        yield columns | {column: value for column, value in row.items() if column not in columns}


def csv_rows(path: Path, columns: Sequence[str]) -> list[MetadataRow]:
    """The rows of a CSV file.

    Raises:
        UserError: If it is absent, no text, or lacks one of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows: list[MetadataRow] = [{key: value for key, value in row.items() if key is not None} for row in reader]
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path}: no CSV table in UTF-8 ({error}); remove its folder and fetch it anew") from error
    if missing:
        raise UserError(f"{path}: has no column {first_ten(missing)}; remove its folder and fetch it anew")
    return rows


def write_catalogue_table(path: Path, rows: Sequence[MetadataRow]) -> None:
    """Writes the rows whole, the columns being those of the first."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
