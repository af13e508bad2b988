"""A torch module as an ONNX file that onnxruntime was seen to compute alike."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.files import whole_file

TOLERANCE = 1e-5  # float32 on two engines, relative to an output's largest value
LARGEST = 2**31 - 2**24  # bytes: a protobuf ends at 2 GB, and the graph needs some of it


def write_onnx(
    path: Path,
    module: nn.Module,
    example: Tensor,
    input_name: str,
    output_names: Sequence[str],
    metadata: Mapping[str, str],
    tolerance: float = TOLERANCE,
) -> float:
    """Writes `module` as one ONNX file for any batch size, and proves it with onnxruntime before it gets its name.

    Args:
        path: The file.
        module: On the CPU; takes one tensor and gives one or a tuple of them. It is put into eval mode.
        example: An input (B, ...) of the type and size that the file will take; batches of B, of 1 and of B + 1 like it
            are compared.
        input_name: Of the input.
        output_names: Of each output.
        metadata: Texts for the file's `metadata_props`, such as what the input is.
        tolerance: Largest difference that passes, relative to the largest value of its output.

    Returns:
        The largest difference seen, relative to the largest value of its output.

    Raises:
        UserError: If the weights are too large for one file, torch cannot write the module as ONNX, or onnxruntime
            computes something else; no file is left.
    """
    refuse_large(path, module)
    with whole_file(path) as part:
        write_graph(part, module.eval(), example, input_name, output_names, metadata)
        one_more = torch.cat([example, example[:1]])
        difference = max(disagreement(part, module, batch) for batch in (example, example[:1], one_more))
        if not difference <= tolerance:  # nan is a failure too
            raise UserError(
                f"{path}: onnxruntime differs from torch by {difference:.1e} of the largest value, more than "
                f"{tolerance:.0e}; the network was not written, as it would not be this one"
            )
    return difference


def write_graph(
    path: Path,
    module: nn.Module,
    example: Tensor,
    input_name: str,
    output_names: Sequence[str],
    metadata: Mapping[str, str],
) -> None:
    """Writes the file as torch makes it, with `metadata` in it; the batch size stays open."""
    pair = torch.cat([example, example])  # torch takes an example's axis of length 1 for a fixed one
    open_batch = ({0: torch.export.Dim("batch")},)
    try:
        with torch.no_grad(), quiet_exporter():
            program = torch.onnx.export(
                module, (pair,), dynamo=True, input_names=[input_name], output_names=list(output_names),
                dynamic_shapes=open_batch, verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"{path}: torch cannot write this network as ONNX ({first}); take another encoder") from error
    assert program is not None  # only the old exporter gives nothing back
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # torch writes there where its own sources lie on this machine
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)
    onnx.checker.check_model(path)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences the one warning of torch's exporter, which is about torch's own code."""
    with warnings.catch_warnings():
        # torch 2.13 copies a LeafSpec, which torch 2.13 deprecates.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        yield


def disagreement(path: Path, module: nn.Module, batch: Tensor) -> float:
    """The largest difference between file and module over all outputs, each relative to its largest value."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    values = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
    with torch.no_grad():
        reference = module(batch)
    outputs = [reference] if isinstance(reference, Tensor) else list(reference)
    assert len(values) == len(outputs), f"{len(values)} outputs in the file, {len(outputs)} from torch"
    return max(relative_difference(torch.from_numpy(its), ours) for its, ours in zip(values, outputs, strict=True))


def relative_difference(values: Tensor, reference: Tensor) -> float:
    """The largest difference between two tensors of one shape, relative to the largest value of `wanted`.

    0 where both are 0 throughout, infinite where `wanted` alone is, nan where either holds a nan.
    """
    assert values.shape == reference.shape, f"{tuple(values.shape)} is not {tuple(reference.shape)}"
    gap, scale = (values - reference).abs().max(), reference.abs().max()
    return 0.0 if gap == 0 else float(gap / scale)


def refuse_large(path: Path, module: nn.Module) -> None:
    """Refuses weights that one ONNX file cannot hold."""
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if size > LARGEST:
        raise UserError(
            f"{path}: the weights take {size / 1e9:.1f} GB and an ONNX file holds 2 GB; take a smaller encoder"
        )
