"""The hub that ImageNet weights of other encoders come from: whether it answers, and what stands in between."""

import http.client
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.weights.hub import INSTALLED, OFFLINE, hub_address

PATIENCE = 3.0  # seconds
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE = {"1", "ON", "YES", "TRUE"}  # as the hub's library reads a variable
WITHOUT = f"only {' and '.join(INSTALLED)} have their ImageNet weights here, and others must have been fetched before"


def examine_proxies() -> Iterator[Observation]:
    """The variables of proxies; what they hold of names and passwords is not shown."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        value = os.environ.get(name)
        if not value:
            continue
        parts = urlsplit(value)
        if parts.hostname is None:
            yield fault("proxy", f"{name} holds no address of a proxy.", f"export {name}=http://HOST:PORT, or unset it")
        else:
            port = f":{parts.port}" if parts.port else ""
            yield good("proxy", f"What is fetched comes through {parts.hostname}{port} ({name}).")
        return


def examine_hub() -> Iterator[Observation]:
    """Whether the hub, or the mirror that HF_ENDPOINT names, answers at all; whatever it answers."""
    address = hub_address()
    offline = next((name for name in OFFLINE_VARIABLES if os.environ.get(name, "").upper() in TRUE), "")
    if offline:
        yield note("hub", f"{offline} is set, so nothing is fetched: {WITHOUT}.", f"unset {offline}")
        return
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        text = f"HF_ENDPOINT is '{address}', which is no address, so nothing can be fetched."
        yield fault("hub", text, "unset HF_ENDPOINT, or export HF_ENDPOINT=https://HOST")
        return
    host = urlsplit(address).hostname
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 407:
            remedy = "export HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT"
            yield note("hub", f"The proxy before {host} asks for a password: {WITHOUT}.", remedy)
            return
    except (OSError, http.client.HTTPException) as error:
        yield silent_hub(str(host), error)
        return
    yield good("hub", f"{host} answers, so ImageNet weights of any encoder can be fetched.")


def silent_hub(host: str, error: Exception) -> Observation:
    """What is said of a hub that is not reached."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        text = f"{host} shows a certificate that is not trusted here ({reason.verify_message}): {WITHOUT}."
        return note("hub", text, "export SSL_CERT_FILE=FILE, with the certificates of this network")
    remedy = f"take the encoder {OFFLINE}, or export HF_ENDPOINT=https://MIRROR or HTTPS_PROXY=http://HOST:PORT"
    return note("hub", f"{host} does not answer ({reason}): {WITHOUT}.", remedy)
