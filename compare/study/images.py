"""The images that a study stands on: found, drawn where there are none, and checked, before anything else."""

from dataclasses import dataclass
from functools import cached_property

from compare.study.config import StudyConfig
from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.data.sources import ImageSource, draw_if_absent, labelled_source, unlabelled_source
from dermssl.files import short_hash
from dermssl.splits.leaks import leaking_pairs


@dataclass(frozen=True)
class StudyImages:
    """The images of a study."""

    labelled: ImageSource
    unlabelled: ImageSource
    manifest: Manifest
    """The list of the labelled images with what is known of each."""
    unlabelled_manifest: Manifest

    @property
    def hash(self) -> str:
        """Stands for the contents of both folders."""
        return short_hash([self.manifest.hash, self.unlabelled_manifest.hash])

    @cached_property
    def apart(self) -> bool:
        """Whether no image to pretrain on is a labelled one, or related to one: all folds then leave the same pool."""
        pool, labels = self.unlabelled_manifest, self.manifest
        one_place = pool.place.resolve() == labels.place.resolve()
        return not one_place and leaking_pairs(pool.table, pool.root, labels).empty

    def __str__(self) -> str:
        lines = [f"images: {self.labelled.why}; to pretrain on: {self.unlabelled.why}", *self.manifest.sentences()]
        return "\n".join([*lines, *self.unlabelled_manifest.sentences(masks=False)])


def study_images(study: StudyConfig, workers: int) -> StudyImages:
    """Both folders with their manifests, drawn here if they are synthetic so that no two runs draw them.

    Raises:
        UserError: If a folder is not there, or its images or masks cannot be used.
    """
    sources = labelled_source(study.data), unlabelled_source(study.unlabelled, "--unlabelled")
    manifests = []
    for source, masks in zip(sources, (True, False), strict=True):
        draw_if_absent(source, workers=workers)
        manifest = read_manifest(source.folder, study)
        refuse_problems(manifest, masks=masks)
        manifests.append(manifest)
    return StudyImages(*sources, *manifests)
