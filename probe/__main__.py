"""Measure a frozen encoder: `python -m probe --init ssl`."""

import sys

from dermssl.data.sources import labelled_source, quick_options
from dermssl.errors import one_sentence
from dermssl.flags import parse
from probe.config import ProbeConfig

if __name__ == "__main__":
    with one_sentence("python -m probe", smaller="--batch_size or --image_size"):
        words = ["--init" if word == "--from" else word for word in sys.argv[1:]]  # a keyword names no field
        config = parse(ProbeConfig, "python -m probe", words, quick_options("probe", labelled_source(None)))
        from probe.run import run  # torch comes in here, after the flags are known to be right

        run(config)
