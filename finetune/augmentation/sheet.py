"""Pictures as training draws them, to look at: the preview sheet, and paddings side by side."""

from collections.abc import Mapping, Sequence
from itertools import islice

import cv2
import numpy as np
from matplotlib.figure import Figure

from dermssl.data.images import Pixels
from dermssl.scores.thumbnails import with_outlines
from dermssl.training.randomness import order_of
from finetune.augmentation.augmented_images import AugmentedImages
from finetune.augmentation.mirrored import TracedSquare, Tracer
from finetune.options.augment import Padding

PICTURES = 12
DRAWS = 4
SEARCHED = 400  # pictures among which lesions that the frame cuts are looked for
PASSES = 16  # draws of which the one is shown that mirrors most
HATCH, INVENTED = (255, 255, 255), (255, 0, 200)  # white lines; a magenta that neither skin nor lesion has
DONE = {"reflect": "mirrored", "edge": "smeared"}
LEGEND = "Outline of truth white; hatched what is filled; magenta the lesion that the filling invents"
SIDE = 256  # of a shown picture, pixels

Cell = tuple[str, TracedSquare]


def sheet(pictures: AugmentedImages, names: Sequence[str], title: str) -> Figure:
    """A dozen pictures, each as its square and as the first four passes of training draw it.

    Args:
        pictures: The training images.
        names: The pictures' names, in the same order.
        title: The options that were chosen.
    """
    tracer, padding = Tracer(pictures), pictures.fit.padding
    rows: list[list[Cell]] = []
    for index in pictures_to_show(pictures):
        draws = [tracer[number, index] for number in range(DRAWS)]
        rows.append(
            [
                (shortened(names[index]), tracer.still(index)),
                *((lesion_caption(traced, padding), traced) for traced in draws),
            ]
        )
    half = -(-len(rows) // 2)  # two pictures beside each other, for a screen is wide
    paired = [left + right for left, right in zip(rows[:half], [*rows[half:], []], strict=False)]
    what = "Squares, and the first four passes over them; at the right pictures whose lesion the frame cuts"
    return picture_grid(paired, f"{title}\n{what}\n{LEGEND}", inches=1.5)


def padding_comparison(by_padding: Mapping[Padding, AugmentedImages], names: Sequence[str], title: str) -> Figure:
    """Half a dozen pictures whose lesion the frame cuts, under each padding.

    Of sixteen passes the one is shown in which the paddings together invent most.
    """
    tracers = {padding: Tracer(pictures) for padding, pictures in by_padding.items()}
    first = next(iter(by_padding.values()))
    rows: list[list[Cell]] = []
    for index in pictures_to_show(first)[PICTURES // 2 :]:
        worst = max(range(PASSES), key=lambda n: sum(tracer[n, index].of_lesion for tracer in tracers.values()))
        cells = [(shortened(names[index]), next(iter(tracers.values())).still(index))]
        for padding, tracer in tracers.items():
            traced = tracer[worst, index]
            cells.append((f"{padding}: {lesion_caption(traced, padding)}", traced))
        rows.append(cells)
    what = f"Pictures whose lesion the frame cuts; of {PASSES} draws of each the one that invents most"
    return picture_grid(rows, f"{title}\n{what}\n{LEGEND}", inches=1.9)


def pictures_to_show(pictures: AugmentedImages) -> list[int]:
    """A dozen pictures: the first half of them as training takes them, then those of whose frame lesion holds most."""
    order = [int(index) for index in order_of(len(pictures), pictures.seed, 0)]
    half = order[: PICTURES // 2]
    others = [index for index in islice(order, SEARCHED) if index not in half]
    return half + sorted(others, key=lambda index: -on_frame(pictures.masks[index]))[: PICTURES // 2]


def on_frame(mask: Pixels) -> float:
    """Share of the frame that lesion holds; a lesion that fills most of the picture counts for nothing."""
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(rim.mean()) if mask.mean() < 0.5 else 0.0


def lesion_caption(traced: TracedSquare, padding: str) -> str:
    """What stands above a drawn picture, in one line or two."""
    above = [f"lesion {traced.mask.mean():.0%}"]
    if traced.filled.any():
        above.append(f"filled {traced.filled.mean():.0%}")
    below = [f"{traced.of_lesion:.1%} of the lesion {DONE.get(padding, 'added')}"] if traced.invented.any() else []
    return "\n".join([", ".join(above), *below])


def shortened(name: str) -> str:
    """The end of a long name, which tells images apart."""
    return name if len(name) <= 22 else "..." + name[-19:]


def picture_grid(rows: Sequence[Sequence[Cell]], title: str, inches: float) -> Figure:
    """Pictures of some `inches` with their titles, a row below the other."""
    columns, height = max(len(row) for row in rows), (inches + 0.3) * len(rows) + 0.7
    figure = Figure(figsize=(inches * columns, height))  # laid out by hand: matplotlib takes seconds for sixty axes
    axes = figure.subplots(len(rows), columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.95 / height, wspace=0.05, hspace=0.3 / inches)
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (text, traced) in zip(line, row, strict=False):
            axis.imshow(painted(traced))
            axis.set_title(text, fontsize=7)
    figure.suptitle(title, fontsize=10, y=1 - 0.1 / height, verticalalignment="top")
    return figure


def painted(traced: TracedSquare) -> Pixels:
    """The picture enlarged with the outline of its mask, what is filled hatched, and invented lesion in magenta."""
    picture = with_outlines(np.ascontiguousarray(traced.image), traced.mask * np.uint8(255), np.zeros_like(traced.mask))
    filled, invented = (
        cv2.resize(mask, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        for mask in (traced.filled, traced.invented)
    )
    y, x = np.indices(filled.shape)
    for where, colour in ((filled & ~invented & ((x + y) % 24 < 4), HATCH), (invented, INVENTED)):
        picture[where] = picture[where] // 2 + np.array(colour, np.uint8) // 2
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
