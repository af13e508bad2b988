"""What tests of faults draw on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))  # for drawn_study, which pages are made of
