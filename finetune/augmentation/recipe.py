"""An augmentation of one's own: a YAML list of albumentations' transforms by name, built and tried before training."""

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path

import albumentations as A
import cv2

from dermssl.bounds import numbers
from dermssl.errors import UserError, shown
from dermssl.files import short_hash
from dermssl.wording import spelling_hint
from dermssl.yaml_words import plain_values, read_yaml
from finetune.augmentation.fit import BORDERS
from finetune.augmentation.preset_transforms import preset
from finetune.augmentation.trial_draw import in_a_line, try_out
from finetune.options.augment import PRESETS, AugmentConfig

GROUPS = {kind.__name__: kind for kind in (A.OneOf, A.SomeOf, A.Sequential, A.RandomOrder)}
TRANSFORMS = {
    name: kind
    for name, kind in vars(A).items()
    if inspect.isclass(kind) and issubclass(kind, A.DualTransform | A.ImageOnlyTransform) and name != "Lambda"
}
DEEPEST = 16  # lists and mappings inside one another, of which a group in a group takes eight
MOST_ENTRIES = 100
LARGEST_NUMBER = 4096  # the largest of a default is 1024, a side
WINDOWS = ("blur", "kernel", "radius", "sigma", "max_factor")  # in names of what is pixels around each pixel
ROUNDS = ("iterations", "control_points", "grid", "delta", "steps")  # in names of what is done again and again
MOST_ROUNDS = 32
OF_PADDING = ("border_mode", "fill", "fill_mask")


def transforms_of(augmentation: str, padding: str, size: int) -> list[A.BasicTransform]:
    """The transforms of a preset or of a YAML file; pictures that go in and come out are squares of `size` pixels.

    Raises:
        UserError: If the file or one of its entries is wrong.
    """
    if augmentation in PRESETS:
        return preset(augmentation, padding, size)
    return [
        transform_of(entry, f"{augmentation}: entry {number}", padding, size)
        for number, entry in enumerate(entries(Path(augmentation)), start=1)
    ]


def augmentation_of(config: AugmentConfig) -> str:
    """What stands for the augmentation in a run's identity: the preset's name, or the hash of what the file says.

    A file's entries are built and tried first, so that a mistake in them is told before anything is decoded.

    Raises:
        UserError: If the file or one of its entries is wrong.
    """
    if config.augmentation in PRESETS:
        return config.augmentation
    transforms_of(config.augmentation, config.padding, config.image_size)
    return short_hash(entries(Path(config.augmentation)))


def entries(path: Path) -> list[object]:
    """The list in the file, unchecked.

    Raises:
        UserError: If the file is missing, is no YAML, or holds no list.
    """
    where, example = (
        f"--augmentation {path}",
        "a list of albumentations' transforms, such as '- HorizontalFlip: {p: 0.5}'",
    )
    recipe = plain_values(read_yaml(path, where, f"give {example}", deepest=DEEPEST))
    if not isinstance(recipe, list) or not recipe:
        raise UserError(f"{where}: expected {example}, found {type(recipe).__name__}")
    if len(recipe) > MOST_ENTRIES:
        raise UserError(f"{where}: has {len(recipe)} entries, and each is tried; {MOST_ENTRIES} are the most")
    return recipe


def transform_of(entry: object, where: str, padding: str, size: int) -> A.BasicTransform:
    """One entry as a transform, tried on a drawn picture; a group of transforms with each of its own.

    Args:
        entry: `NAME`, or `{NAME: {argument: value}}`; groups have their members as a list under `transforms`.
        where: File and entry, for errors.
        padding: What corners are filled with; entries do not say it themselves.
        size: Side of the square, pixels; also the `size` of entries that want one and do not give it.
    """
    name, arguments = name_and_arguments(entry, where)
    where = f"{where} ({name})"
    if name in GROUPS:
        members = arguments.pop("transforms", None)
        if not isinstance(members, list) or not members:
            raise UserError(f"{where}: a group takes a list of its own under 'transforms'")
        inside = [
            transform_of(member, f"{where}, {number}", padding, size) for number, member in enumerate(members, start=1)
        ]
        return build_transform(GROUPS[name], {**arguments, "transforms": inside}, where)
    if name not in TRANSFORMS:
        hint = (
            spelling_hint(name, TRANSFORMS)
            or "; one that moves or recolours pictures is wanted, such as HorizontalFlip"
        )
        raise UserError(f"{where}: albumentations has no transform {shown(name)}{hint}")
    refuse_excess(arguments, where, size)
    parameters = inspect.signature(TRANSFORMS[name]).parameters
    if "border_mode" in parameters:
        refuse_padding(arguments, where)
        arguments["border_mode"] = BORDERS.get(padding, cv2.BORDER_REPLICATE)
    if "size" in parameters:
        arguments.setdefault("size", (size, size))
    transform = build_transform(TRANSFORMS[name], arguments, where)
    try_out(transform, where, padding, size)
    return transform


def name_and_arguments(entry: object, where: str) -> tuple[str, dict[str, object]]:
    """The name of an entry and its arguments."""
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, dict) and len(entry) == 1:
        name, arguments = next(iter(entry.items()))
        if arguments is None or isinstance(arguments, dict):
            return str(name), {str(key): value for key, value in (arguments or {}).items()}
    raise UserError(f"{where}: expected 'NAME: {{argument: value}}', found {shown(entry)}")


def refuse_padding(arguments: Mapping[str, object], where: str) -> None:
    """Stops where an entry says what fills its corners: padding is a factor of its own, and counted."""
    if padding_keys := [key for key in OF_PADDING if key in arguments]:
        raise UserError(f"{where}: '{padding_keys[0]}' is what --padding decides; leave it out")


def refuse_excess(arguments: Mapping[str, object], where: str, size: int) -> None:
    """Stops at numbers that no picture needs: a transform with them would be tried for minutes, or take all memory."""
    for key, value in arguments.items():
        window, rounds = (any(word in key for word in words) for words in (WINDOWS, ROUNDS))
        most = MOST_ROUNDS if rounds else size if window else LARGEST_NUMBER
        if excess := [number for number in numbers(value) if not abs(number) <= most]:
            raise UserError(f"{where}: {shown(key)} is {excess[0]}, which is above {most}; give less")


def build_transform(kind: type[A.BasicTransform], arguments: Mapping[str, object], where: str) -> A.BasicTransform:
    """The transform with these arguments; what albumentations merely warns of is an error here."""
    options = list(inspect.signature(kind).parameters)
    for key in arguments:
        if key not in options:
            hint = spelling_hint(key, options) or f"; it has {', '.join(options)}"
            raise UserError(f"{where}: the transform has no argument {shown(key)}{hint}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return kind(**arguments)
    except (ValueError, TypeError, Warning) as error:
        raise UserError(f"{where}: {in_a_line(error)}") from error
