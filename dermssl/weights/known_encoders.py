"""Which names of encoders are known here: no name in a file or an option ever leads to a network or another folder."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_word_of_widgets() -> Iterator[None]:
    """Imports both libraries without tqdm's complaint of a widget that a notebook lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield


def is_known(name: str) -> bool:
    """Whether smp has an encoder of this very name, or timm has one behind `tu-`.

    timm itself would ask the hub for `hf-hub:OWNER/NAME` and read any folder for `local-dir:PATH`.
    """
    with no_word_of_widgets():
        from segmentation_models_pytorch import encoders  # takes seconds, and who reads a card alone may not need it

    return is_known_to_timm(name.removeprefix("tu-")) if name.startswith("tu-") else name in encoders.encoders


def is_known_to_timm(name: str) -> bool:
    """Whether timm has a network of this very name, and its weights the tag behind a dot."""
    with no_word_of_widgets():
        import timm

    network, dot, _ = name.partition(".")
    if not timm.is_model(network):
        return False
    try:
        return timm.get_pretrained_cfg(name) is not None or not dot
    except RuntimeError:  # no such tag
        return False


def known_names() -> list[str]:
    """Every encoder's name in smp, and timm's behind `tu-`."""
    with no_word_of_widgets():
        import timm
        from segmentation_models_pytorch import encoders

    return [*encoders.encoders, *(f"tu-{name}" for name in timm.list_models())]
