"""A server on this machine, for tests of what comes over the network."""

import random
import threading
from collections.abc import Iterator

import pytest
from mirror import Server

from dermssl.download import web
from dermssl.download.catalogue import MIRROR


@pytest.fixture
def empty_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(web, "PAUSE", 0.001)
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def server(empty_server: Server) -> Server:
    """With one file of 200 000 bytes."""
    empty_server.content, empty_server.tag = random.Random(0).randbytes(200_000), '"one"'
    return empty_server


@pytest.fixture
def mirror(empty_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """In the place of every data set's own server."""
    monkeypatch.setenv(MIRROR, empty_server.place)
    return empty_server
