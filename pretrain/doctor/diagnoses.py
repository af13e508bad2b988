"""What is wrong with a training, by its signs: each failure's name, its evidence in numbers, and what to do.

A sign is a number of an epoch: a column of metrics.csv. A threshold says where it is from; every one is far from what
healthy trainings of all methods show (tests/pretrain/doctor/test_diagnoses.py).
"""

import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dermssl.data.sources import unlabelled_source
from dermssl.training.divergence import is_blown_up
from pretrain.config import PretrainConfig

Signs = Mapping[str, float]

POINT = 0.15  # spread of embeddings, a mean cosine of 0.98; healthy trainings of all methods stay above 0.25
RANK_LEFT = 0.2  # share of the RankMe at the start that is left
RANK_FEW = 8.0  # dimensions; above it nothing is called collapse, whatever the start was
STEP = 0.03  # a step's length as a share of the encoder's; it is 0.003 for recipes and 0.006 for AdamW at 2e-3
BLOWN_UP = 1e3  # times the gradient of the first epoch; it moves by a factor of ten in healthy trainings
REPEATED = 0.5  # share of images whose two views are the same pixels; 0 where views are drawn at all
CONSTANT = 0.1  # share of views of one colour; a crop inside a vignette is one now and then
TIED = 1e-6  # distance of a slow copy, as a share of the network's length: the rounding of float32
GAIN = 0.05  # by which pairs lower the loss of strangers, as a share of it
HOT = 1.0  # the highest temperature of any recipe (MoCo v3)
WORSE, SURE = 0.005, 2.0  # IoU that the dense probe has lost, and standard errors of that, at the end of the training
SHARED = (
    0.9  # share of a query's companions in BatchNorm that its key has too; 1 without shuffling, near 1 / groups with it
)


@dataclass(frozen=True)
class Diagnosis:
    """A named failure."""

    name: str
    evidence: str
    remedy: str
    fatal: bool = True
    """Whether nothing useful is learned any more, so that `--on_collapse stop` stops."""

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}; {self.remedy}"


@dataclass(frozen=True)
class Course:
    """A training so far."""

    config: PretrainConfig
    start: Signs
    """Signs of the look before the first step, and of the first epoch where they are means of steps."""
    before: Signs
    """Signs of the look before the latest."""
    now: Signs
    """Signs of the latest epoch. One that was not measured is absent."""
    done: float
    """Share of the training, in (0, 1]."""


def diagnose(course: Course) -> list[Diagnosis]:
    """Every failure whose signs are there, causes before consequences."""
    return [diagnosis for rule in RULES for diagnosis in rule(course)]


def constant_images(course: Course) -> Iterator[Diagnosis]:
    """Pictures of one colour, of which there is nothing to learn."""
    share = course.now.get("constant_views", 0.0)
    folder = shlex.quote(str(unlabelled_source(course.config.data).folder))
    if share > CONSTANT:
        yield Diagnosis(
            "constant images",
            f"{share:.0%} of the views show a single colour",
            f"look at the pictures with `python -m dermssl check {folder}` and remove the empty ones",
            fatal=share > REPEATED,
        )


def identical_views(course: Course) -> Iterator[Diagnosis]:
    """Two views that are one: agreeing on them asks for nothing."""
    share = course.now.get("duplicate_views", 0.0)
    if share > REPEATED and course.now.get("constant_views", 0.0) <= CONSTANT:
        yield Diagnosis(
            "identical views",
            f"both views of {share:.0%} of the images are the same pixels",
            "give the other recipe of --views (dermoscopy or imagenet)",
        )


def divergence(course: Course) -> Iterator[Diagnosis]:
    """Steps that are too long."""
    lower = f"lower --lr (it is {course.config.lr:g}) tenfold, or raise --warmup ({course.config.warmup:g})"
    step, gradient = course.now.get("step_size", 0.0), course.now.get("gradient_norm", 0.0)
    first = course.start.get("gradient_norm", math.inf)
    loss, before = course.now.get("loss", 0.0), course.start.get("loss", math.inf)
    if step > STEP:
        yield Diagnosis("divergence", f"one step moves the encoder by {step:.0%} of its own length", lower)
    elif gradient > BLOWN_UP * first:
        yield Diagnosis("divergence", f"gradients are {gradient / first:.0f} times those of the first epoch", lower)
    elif is_blown_up(loss, before):
        yield Diagnosis("divergence", f"the loss has risen to {loss:.3g} from {before:.3g} in the first epoch", lower)


def collapse(course: Course) -> Iterator[Diagnosis]:
    """All images in one point."""
    spread = course.now.get("spread", 1.0)
    if spread < POINT:
        yield Diagnosis(
            "collapse",
            f"the embeddings of all images are one point (spread {spread:.3f}, where 1 fills the sphere)",
            f"nothing pushes images apart any more: lower --lr (it is {course.config.lr:g}), and in a method of your "
            "own see that no gradient flows into the side that is predicted",
        )


def dimensional_collapse(course: Course) -> Iterator[Diagnosis]:
    """Features in a few dimensions of many."""
    rank, first = course.now.get("rankme", math.inf), course.start.get("rankme", 0.0)
    if rank < min(RANK_LEFT * first, RANK_FEW):
        yield Diagnosis(
            "dimensional collapse",
            f"features fill {rank:.1f} dimensions, and filled {first:.1f} at the start",
            f"lower --lr (it is {course.config.lr:g}), or take a method that keeps dimensions apart "
            "(--method vicreg or barlow_twins)",
            fatal=False,
        )


def hot_temperature(course: Course) -> Iterator[Diagnosis]:
    """Similarities that the softmax does not see."""
    temperature = course.config.temperature
    loss, strangers = course.now.get("pair_loss", 0.0), course.now.get("stranger_loss", 0.0)
    if temperature > HOT and strangers - loss < GAIN * abs(strangers):
        yield Diagnosis(
            "temperature too high",
            f"at --temperature {temperature:g} the loss is {loss:.3f} for views of one image and {strangers:.3f} for "
            "views of two, so similarities do not matter",
            "give --temperature 0.1 or 0.2",
        )


def leak(course: Course) -> Iterator[Diagnosis]:
    """Answers that BatchNorm gives away. Not fatal at once: a network needs thousands of steps to make use of it."""
    share = course.now.get("shared_companions", 0.0)
    if share > SHARED:
        accuracy = course.now.get("accuracy", math.nan)
        yield Diagnosis(
            "BatchNorm leak",
            f"{share:.0%} of the images that BatchNorm mixes into a query are mixed into its key too, so the key is "
            f"found without looking (accuracy {accuracy:.2f})",
            f"raise --norm_groups (it is {course.config.norm_groups})",
            fatal=False,
        )


def tied_copy(course: Course) -> Iterator[Diagnosis]:
    """A slow copy that is not slow, or does not move."""
    apart = course.now.get("teacher_distance", math.inf)
    stands = course.now.get("teacher_length", 0.0) == course.before.get("teacher_length", 1.0)
    remedy = f"set --momentum (it is {course.config.momentum:g}) to the recipe's default"
    if course.now.get("step_size", 0.0) <= TIED:
        return  # nothing moves, at the ends of the schedule
    if apart < TIED:
        yield Diagnosis("copied teacher", "the slow copy equals the network that follows it", remedy)
    elif stands and course.done < 0.9:  # later the momentum of a schedule is 1 but for rounding
        yield Diagnosis("frozen teacher", "the slow copy has not moved since the last look", remedy)


def lost_places(course: Course) -> Iterator[Diagnosis]:
    """Features of places that have become worse than those that the training began with, which a decoder lives on."""
    change, error = course.now.get("dense_change", 0.0), course.now.get("dense_error", math.inf)
    if course.done >= 1 and change < -max(WORSE, SURE * error):
        now, method = course.now.get("dense_iou", math.nan), course.config.method
        others = "densecl" if method != "densecl" else "decoder"
        yield Diagnosis(
            "worse dense features",
            f"a linear map from the feature maps segments with IoU {now:.3f}, and did with {now - change:.3f} before "
            f"the first step ({100 * change:+.1f} points, standard error {100 * error:.1f})",
            f"for segmentation --init {course.config.init} is the better start as it is; --method {others} learns "
            f"places, and a lower --lr (it is {course.config.lr:g}) moves the weights less",
            fatal=False,
        )


RULES: list[Callable[[Course], Iterator[Diagnosis]]] = [
    constant_images, identical_views, divergence, collapse, dimensional_collapse, hot_temperature, leak, tied_copy,
    lost_places,
]  # fmt: skip
