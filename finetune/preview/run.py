"""The story of a preview: pictures as training would draw them under each padding, and what the padding invents."""

from pathlib import Path

import pandas as pd

from dermssl.data.manifest import read_manifest, refuse_problems
from dermssl.data.pixel_cache import cached_images, cached_masks
from dermssl.data.sources import draw_if_absent, labelled_source
from dermssl.log import say
from dermssl.places import try_places
from dermssl.scores.plots import save_figure
from dermssl.training.device import prepare
from finetune.augmentation.augmented_images import AugmentedImages
from finetune.augmentation.mirrored import InventedLesions, count_invented
from finetune.augmentation.recipe import augmentation_of
from finetune.augmentation.sheet import padding_comparison, sheet
from finetune.preview.config import PreviewConfig


def preview(config: PreviewConfig) -> Path:
    """Draws and counts as `config` says; returns the figure's file.

    Raises:
        UserError: For a wrong folder, picture, mask or augmentation.
    """
    try_places(
        {"--data": config.data, "--masks": config.masks, "--augmentation": config.augmentation},
        files={"--out": config.out},
    )
    for padding in config.paddings:
        augmentation_of(config.augmentation_under(padding))
    source = labelled_source(config.data)
    prepare(1)  # the pictures are too small for two
    draw_if_absent(source, workers=1)
    manifest = read_manifest(source.folder, config)
    refuse_problems(manifest, masks=True)
    say("\n".join(manifest.sentences()))
    images, masks = cached_images(manifest, config.cache_size), cached_masks(manifest, config.cache_size)
    by_padding = {
        padding: AugmentedImages(
            images,
            masks,
            preset=config.augmentation,
            padding=padding,
            size=config.image_size,
            seed=config.seed,
            fit=config.fit,
        )
        for padding in config.paddings
    }
    names = manifest.table["image_id"].tolist()
    title = f"--augmentation {config.augmentation} --fit {config.fit} --image_size {config.image_size}"
    if config.padding == "all":
        figure = padding_comparison(by_padding, names, title)
    else:
        figure = sheet(by_padding[config.padding], names, f"{title} --padding {config.padding}")
    save_figure(figure, config.out)
    say(invented_table({padding: count_invented(pictures, config.draws) for padding, pictures in by_padding.items()}))
    say(f"results: {config.out}")
    return config.out


def invented_table(counts: dict[str, InventedLesions]) -> str:
    """The counts of each padding as lines of text, under headings that are read alone."""
    rows = {
        padding: {
            "pictures drawn": invented.draws,
            "area filled": f"{invented.filled:.1%}",
            "with invented lesion": f"{invented.pictures:.1%}",
            "of their lesion invented": f"{invented.of_lesion:.1%}",
        }
        for padding, invented in counts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("padding").reset_index().to_string(index=False)
