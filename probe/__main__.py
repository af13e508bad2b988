"""Measure a frozen encoder: `python -m probe --init ssl`."""

from dermssl.data.sources import labelled, quick
from dermssl.errors import one_sentence
from dermssl.flags import parse
from probe.config import ProbeConfig

if __name__ == "__main__":
    with one_sentence("python -m probe"):
        config = parse(ProbeConfig, "python -m probe", quick=quick("probe", labelled(None)))
        from probe.run import run  # torch comes in here, after the flags are known to be right

        run(config)
