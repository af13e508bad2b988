import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for drawn_study, which tests of this folder import
from drawn_study import draw_study


@pytest.fixture(scope="session")
def whole_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's factorial, drawn once; tests read it and write only the report."""
    return draw_study(tmp_path_factory.mktemp("studies") / "whole")
