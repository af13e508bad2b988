import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "compare"))  # for small_study, which kills and signals are tried on
