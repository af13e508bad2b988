"""What `torch.save` wrote elsewhere, read as data: of a stranger's classes none is ever called."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import torch

from dermssl.errors import UserError
from dermssl.weights.file_kind import PICKLE, TORCH, kind_of
from dermssl.weights.tensor_file import in_a_short_line

EXPECTED = "checkpoint of torch"


class Blank:
    """Stands in for an object of another library: keeps the state that it is given and runs nothing."""

    state: object = None

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class BlankTable:
    """Stands in for a dictionary of another class; its entries are read into a plain one."""

    def __new__(cls, *_: object) -> dict[object, object]:  # type: ignore[misc]
        """Makes a plain dictionary, which is all that torch's reader fills."""
        return {}


# What trainings leave beside their tensors. Each becomes a blank, so that the class itself is never called.
BLANKS = (
    "argparse.Namespace", "typing.Any",
    *(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "str")),
    *(f"pathlib.{kind}Path" for kind in ("Posix", "PurePosix", "Windows", "PureWindows")),
    "numpy.dtype", "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{maker}" for core in ("core", "_core") for maker in ("scalar", "_reconstruct")),
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.Metadata", "omegaconf.base.ContainerMetadata",
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "String")),
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)  # fmt: skip
TABLES = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    *(f"{package}.utilities.data.AttributeDict" for package in ("lightning_fabric", "lightning.fabric")),
)


def load_pickle(file: Path) -> object:
    """What `torch.save` wrote, tensors and plain values alone.

    Raises:
        UserError: If it is no such file, is damaged, or could be read only by running code that is in it.
    """
    kind = kind_of(file)
    if kind not in (TORCH, PICKLE, None):
        raise UserError(kind.sentence(file, EXPECTED))
    blanks: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
        (blank, name) for blank, names in ((Blank, BLANKS), (BlankTable, TABLES)) for name in names
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(blanks):
            warnings.simplefilter("ignore")  # what torch warns of is refused just below
            with file.open("rb") as stream:  # by its name, torch would take it for whatever its ending says
                return torch.load(stream, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise UserError(unreadable_sentence(file, error)) from error
    except Exception as error:  # a stranger's bytes can make torch's reader raise anything
        raise UserError(no_checkpoint(file, error)) from error


def unreadable_sentence(file: Path, error: Exception) -> str:
    """Why torch does not read the file as data, and how its owner makes one that it does."""
    stranger = re.search(r"GLOBAL ([\w.]+)", str(error))
    if kind_of(file) is not TORCH or (stranger is None and "Cannot use ``weights_only=True`` with" not in str(error)):
        return no_checkpoint(file, error)
    what = f"an object of {stranger.group(1)}" if stranger else "a format that holds programs"
    clean = "torch.save(model.state_dict(), 'clean.pt')"
    if stranger and stranger.group(1).split(".")[0] == "lightly_train":
        clean = f"lightly_train.export(out='clean.pt', checkpoint='{file}', part='model', format='torch_state_dict')"
    return (
        f"{file}: holds {what}, which cannot be read without running code that is in the file; "
        f"where it was made, save its tensors alone: `{clean}`"
    )


def no_checkpoint(file: Path, error: Exception) -> str:
    """What a file is instead of a checkpoint, and what to do; of a damaged checkpoint, what torch says of it."""
    kind = kind_of(file)
    if kind is TORCH:
        detail = str(error).rpartition("error: ")[2].strip().split(". ")[0].partition("\n")[0]
        return f"{file}: damaged, or no {EXPECTED} ({in_a_short_line(detail) or type(error).__name__}); copy it again"
    if kind is not None:
        return kind.sentence(file, EXPECTED)
    with file.open("rb") as stream:
        head = stream.read(8).hex(" ")
    return f"{file}: damaged, or no {EXPECTED} (it begins with the bytes {head}, as no file known here); copy it again"
