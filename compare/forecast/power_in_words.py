"""What a planned study could find, in words: the smallest differences by number of seeds, and its margin."""

from collections.abc import Iterator, Sequence
from math import isfinite

from compare.forecast.power import SEEDS, Power, Spreads, count_cells, power_by_seeds, spreads_for
from compare.study.config import StudyConfig
from compare.study.plan import Task
from compare.text import text_table, wrapped
from dermssl.wording import counted


def power_in_words(study: StudyConfig, tasks: Sequence[Task], lesions: int, images: int) -> Iterator[str]:
    """The smallest difference that shows, with these seeds and with others, and whether the margin can be reached."""
    yield f"what it can find ({images} images of {counted(lesions, 'lesion')} are scored)"
    if lesions < 2:
        yield "  nothing: one lesion tells nothing of others"
        return
    cells, spreads, seeds = count_cells(tasks, study.arms), spreads_for(study), len(study.seed)
    arms = len({tuple(task.factors[name] for name in arm_factors(study)) for task in tasks if task.stage == "finetune"})
    pairs = arms * (arms - 1) // 2
    powers = power_by_seeds(lesions, images, cells, spreads, study.margin, sorted({*SEEDS, seeds}), max(arms, 2))
    this_study = next(power for power in powers if power.seeds == seeds)
    yield from resolution_in_words(this_study, cells)
    yield power_table(powers, this_study, cells, study.margin)
    smallest = "the smallest true difference of IoU that is called better or worse four times in five"
    one_cell = f", in the mean of all cells for the primary contrast and in one cell for one among {pairs * cells}"
    yield wrapped(f"Beside the seeds stands {smallest}{one_cell * (cells > 1)}; the last number is how often two arms "
                  "without any difference are called equivalent.", 2)  # fmt: skip
    yield margin_in_words(this_study, powers, study.margin)
    yield spreads_in_words(spreads)


def resolution_in_words(power: Power, cells: int) -> Iterator[str]:
    """What these seeds resolve, in a sentence."""
    if power.seeds < 2:
        yield wrapped("With one seed every verdict is 'undecided': how trainings differ cannot be seen.", 2)
        return
    if not isfinite(power.pooled):
        yield wrapped(f"With {power.seeds} seeds every verdict will be 'undecided': no difference is large enough.", 2)
        return
    in_one_cell = f", {power.cell:.4f} in a single cell" if cells > 1 and isfinite(power.cell) else ""
    yield wrapped(f"With {power.seeds} seeds it resolves a difference of {power.pooled:.4f} IoU{in_one_cell}.", 2)


def arm_factors(study: StudyConfig) -> tuple[str, ...]:
    """What tells arms apart."""
    return ("init", "method") if study.arms == "init" else (study.arms,)


def power_table(powers: Sequence[Power], this_study: Power, cells: int, margin: float) -> str:
    """A row a number of seeds; of a single cell there is no mean."""
    columns = ["difference"] if cells == 1 else [f"mean of {cells} cells", "one cell"]
    rows = []
    for power in powers:
        differences = [f"{value:.4f}" if isfinite(value) else "none" for value in (power.pooled, power.cell)][
            : len(columns)
        ]
        rows.append([str(power.seeds), *differences, f"{power.equivalent:.0%}", "this study" * (power is this_study)])
    return text_table(rows, ["seeds", *columns, f"equal within {margin:g}", ""], right=range(len(columns) + 2))


def margin_in_words(power: Power, powers: Sequence[Power], margin: float) -> str:
    """Whether equivalence can be shown, and else how many seeds it takes."""
    if power.equivalent >= 0.8:
        return wrapped(f"The margin of {margin:g} can be reached: equal arms are found equivalent.", 2)
    enough = next((other.seeds for other in powers if other.equivalent >= 0.8), None)
    remedy = f"{enough} seeds would" if enough else (
        f"{powers[-1].seeds} seeds are not enough either: take more images, or a wider --margin")  # fmt: skip
    word = "cannot" if power.equivalent < 0.05 else "can hardly"
    return wrapped(f"The margin of {margin:g} {word} be reached: equal arms are found equivalent "
                   f"{power.equivalent:.0%} of the time; {remedy}.", 2)  # fmt: skip


def spreads_in_words(spreads: Spreads) -> str:
    """What is assumed."""
    return wrapped(
        f"It assumes that differences of two arms vary by {spreads.lesion:.3f} between lesions, {spreads.seed:.3f} "
        f"between trainings and {spreads.rest:.3f} beyond that, standard deviations in a cell, and by "
        f"{spreads.pooled_lesion:.3f} between lesions in the mean of all cells: {spreads.source}.", 2
    )  # fmt: skip
