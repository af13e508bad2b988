"""Check this toolkit on a GPU: `python -m benchmarks.gpu --out DIR`."""

from benchmarks.gpu.config import GpuKitConfig
from dermssl.errors import one_sentence
from dermssl.flags import parse

if __name__ == "__main__":
    with one_sentence("python -m benchmarks.gpu"):
        config = parse(GpuKitConfig, "python -m benchmarks.gpu")
        from benchmarks.gpu.run import run  # torch comes in here, after the flags are known to be right

        wrong = [row for row in run(config) if row.part == "right" and row.met is False]
        raise SystemExit(int(bool(wrong)))  # a goal of speed that is missed is a finding, and no failure
