"""Addresses where a Ray cluster is sought, and none is found."""

import socket
import sys

import pytest

from compare.execution import ray_address
from compare.execution.ray_address import connected
from dermssl.errors import UserError


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'--executor ray: Ray is not installed; python -m pip install "ray>=2\.60"$'):
        connected("auto")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{closed}", "no-host.invalid:6379", "rubbish", "host:99999999", "ray://x"]
)
def test_an_address_where_nobody_listens_is_named_with_the_remedy(address: str) -> None:
    address = address.format(closed=closed_port())
    with pytest.raises(UserError) as told:
        connected(address)
    assert str(told.value).startswith(f"--address {address}: no Ray cluster answers there (")
    assert "start one with `ray start --head" in str(told.value)


def test_a_listener_that_is_no_ray_cluster_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"{address}: no Ray cluster answers there \(nothing in 1 s\)"):
            connected(address)


def test_what_ray_says_of_an_address_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "ASK", "raise SystemExit('first\\nnone for you, sir\\n\\n')")
    with pytest.raises(UserError, match=r"--address auto: no Ray cluster answers there \(none for you, sir\)"):
        connected("auto")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_address_of_a_cluster_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port()}")  # what `auto` means, before the file of `ray start`
    with pytest.raises(UserError, match="--address auto: no Ray cluster answers there"):
        connected("auto")
