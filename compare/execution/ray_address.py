"""Finding a Ray cluster at its address, or saying soon that there is none."""

import logging
import os
import socket
import subprocess
import sys
from typing import Any

from compare.text import last_line
from dermssl.errors import UserError
from dermssl.signals import handlers_kept

ANSWER = 15.0  # seconds that a cluster has to answer
ASK = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"


def connected(address: str) -> Any:
    """The ray module, connected to the cluster at `address`; quiet, and nothing is reported to anybody.

    Raises:
        UserError: If there is no Ray, or no cluster there.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise UserError('--executor ray: Ray is not installed; python -m pip install "ray>=2.60"') from None
    refuse_silence(address)
    with handlers_kept():  # it takes SIGTERM, and ends the process by an exit code of its own
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    return ray


def refuse_silence(address: str) -> None:
    """Stops where no cluster answers.

    Another process asks first: Ray itself tries for a quarter of an hour where `auto` finds the address of a cluster
    that is gone, and cannot be told to stop.
    """
    if address != "auto":
        refuse_closed_port(address)
    try:
        subprocess.run([sys.executable, "-c", ASK, address], check=True, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        raise no_answer(address, f"nothing in {ANSWER:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise no_answer(address, last_line(error.stderr, "no word")) from None


def refuse_closed_port(address: str) -> None:
    """Stops at once where nobody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
        raise no_answer(address, str(error)) from None


def no_answer(address: str, why: str) -> UserError:
    """The sentence where there is no cluster."""
    return UserError(
        f"--address {address}: no Ray cluster answers there ({why}); start one with `ray start --head --port 6379 "
        "--disable-usage-stats` and give its host:6379, or leave --executor ray out"
    )
