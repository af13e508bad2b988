"""Imports the libraries one after another and says how far it came; in a process of its own, which they may end."""

import importlib
import json
import os
from collections.abc import Callable
from types import ModuleType

MARK = "dermssl-doctor:"
LIBRARIES = (
    "numpy", "torch", "torchvision", "cuda", "cv2", "PIL", "albumentations", "scipy", "sklearn", "pandas", "pyarrow",
    "faiss", "yaml", "safetensors", "timm", "segmentation_models_pytorch", "lightly", "pytorch_lightning",
    "onnxruntime",
)  # fmt: skip
"""In this order; `cuda` is torch's question for GPUs. umap is left out: compiling it takes up to 40 s."""
NEEDED = ("numpy", "torch")
"""Where one of these is broken the others are not tried, for they import it."""

Facts = dict[str, object]


def try_libraries() -> None:
    """Says of each library that it begins, and then how it went."""
    for name in LIBRARIES:
        report_fact({"begins": name})
        try:
            facts = EXAMINED[name]() if name in EXAMINED else facts_of(importlib.import_module(name))
        except BaseException as error:  # an import may also want to end the process
            report_fact({"name": name, "error": f"{type(error).__name__}: {error}"})
            if name in NEEDED:
                return
        else:
            report_fact({"name": name, **facts})
    report_fact({"ends": True})


def report_fact(facts: Facts) -> None:
    """A line of the answer, past whatever a library has made of the standard output."""
    os.write(1, f"\n{MARK}{json.dumps(facts)}\n".encode())


def facts_of(module: ModuleType) -> Facts:
    """A library's version and its file."""
    return {"version": str(getattr(module, "__version__", "")), "file": str(getattr(module, "__file__", ""))}


def tried_numpy() -> Facts:
    """numpy, once it has multiplied."""
    import numpy as np

    assert (np.ones((2, 2)) @ np.ones((2, 2))).sum() == 8
    return facts_of(np)


def tried_torch() -> Facts:
    """torch, once it has multiplied and has passed an array to numpy and back."""
    import torch

    product = torch.ones(2, 2) @ torch.from_numpy(torch.ones(2, 2).numpy())
    assert product.sum().item() == 8
    return facts_of(torch) | {"cuda": torch.version.cuda, "hip": torch.version.hip}


def tried_torchvision() -> Facts:
    """torchvision, once one of its compiled operators has run."""
    import torch
    import torchvision

    assert torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5).tolist() == [0]
    return facts_of(torchvision)


def tried_cuda() -> Facts:
    """The GPUs that torch sees, once each has multiplied; none without an error where there is none."""
    import torch

    names = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        assert (torch.ones(2, 2, device=f"cuda:{index}") @ torch.ones(2, 2, device=f"cuda:{index}")).sum().item() == 8
        names.append(torch.cuda.get_device_name(index))
    return {"devices": names}


EXAMINED: dict[str, Callable[[], Facts]] = {
    "numpy": tried_numpy, "torch": tried_torch, "torchvision": tried_torchvision, "cuda": tried_cuda,
}  # fmt: skip
