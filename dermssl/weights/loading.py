"""Tensors into a network: first held against its names and shapes, then loaded, then compared one by one."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dermssl.errors import UserError, first_ten
from dermssl.weights.tensor_file import in_a_short_line

State = Mapping[str, Tensor]


def load_strictly(encoder: nn.Module, tensors: State, origin: str) -> nn.Module:
    """Loads `tensors` into `encoder` and proves it, tensor by tensor.

    Most of smp's encoders load nothing from a file of other names and say nothing; hence the proof.

    Raises:
        UserError: If a name, a shape or a type differs; 99 % is refused as 0 % is.
    """
    refuse_misfit(encoder.state_dict(), tensors, origin)
    # Native ResNets pop keys out of the dict they are given, so they get one of their own.
    encoder.load_state_dict(dict(tensors))
    prove_equal(encoder, tensors)
    return encoder


def refuse_misfit(expected: State, tensors: State, origin: str) -> None:
    """Stops where names, shapes or types of numbers are not those of `expected`, whose values do not matter."""
    missing, extra = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    shapes = [
        k for k in sorted(expected.keys() & tensors.keys()) if shape_and_type(expected[k]) != shape_and_type(tensors[k])
    ]
    if missing or extra or shapes:
        culprits = first_ten([in_a_short_line(name) for name in [*missing, *extra, *shapes][:3]])
        raise UserError(
            f"{origin}: not this encoder's weights: of {len(expected)} tensors {len(missing)} are missing, "
            f"{len(extra)} unexpected, {len(shapes)} of another shape or type (first: {culprits}); make the file "
            "again with the versions of timm and segmentation-models-pytorch that are installed here"
        )


def prove_equal(encoder: nn.Module, tensors: State) -> int:
    """Compares every tensor of `encoder` with `tensors`; returns how many were compared."""
    loaded = encoder.state_dict()
    wrong = [name for name, tensor in loaded.items() if not are_equal(tensor.cpu(), tensors[name].cpu())]
    assert not wrong, f"the library left {len(wrong)} of {len(loaded)} tensors unloaded (first: {wrong[:3]})"
    return len(loaded)


def are_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN being the same as NaN: a training that broke has them."""
    return torch.equal(one, other) or bool(torch.isclose(one, other, rtol=0, atol=0, equal_nan=True).all())


def shape_and_type(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    """What two tensors have in common that can stand for one another."""
    return tensor.shape, tensor.dtype


def meta_state(build: Callable[[], nn.Module]) -> State:
    """The tensors of a model without their values; those few that cannot be built so are built as they are.

    torch's own random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build().state_dict()
        except (UserError, RuntimeError, NotImplementedError):
            return {name: tensor.to("meta") for name, tensor in build().state_dict().items()}
