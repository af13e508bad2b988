"""A sheet of the first views that a training shows its encoder, to look at."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dermssl.data.images import Pixels
from dermssl.runs.folder import Run
from dermssl.scores.plots import save_figure
from dermssl.training.randomness import order_of
from pretrain.views.batches import VIEWS, StepImages, Views

SHOWN = 12  # images
PAIRED = 2  # images in a row


def show_views(views: Views, work: Run) -> None:
    """Leaves `figures/views.png`: the views of the first images of the first epoch, as training draws them.

    Views are functions of seed, epoch and image, so that drawing them twice changes no later draw.
    """
    file = work.folder / "figures" / "views.png"
    if file.exists():
        return
    config = views.config
    images = order_of(len(views), config.seed, 0)[: min(SHOWN, config.batch_size)]
    batch = views[StepImages(0, images)]
    squares = batch.views.permute(0, 2, 3, 1).cpu().numpy()  # (2B, H, W, 3)
    shown = [[squares[view * len(images) + i] for view in range(VIEWS)] for i in range(len(images))]
    title = f"--views {config.views} --padding {config.padding}: both views of the first images of the first epoch"
    save_figure(views_figure(shown, title), file, dpi=110)


def views_figure(images: Sequence[Sequence[Pixels]], title: str) -> Figure:
    """The views of each image beside one another, two images in a row."""
    rows = -(-len(images) // PAIRED)
    columns = PAIRED * len(images[0])
    figure = Figure(figsize=(1.7 * columns, 1.7 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, view in zip(axes, (np.asarray(view) for views in images for view in views), strict=False):
        axis.imshow(view)
    figure.suptitle(title, fontsize=10)
    return figure
