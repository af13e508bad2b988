"""Configs are found in a checkout and where the package was installed, and a file of one's own comes first."""

from pathlib import Path

import pytest

from dermssl import shipped
from dermssl.shipped import CONFIGS, shipped_file

DEMO = Path("configs/compare/demo.yaml")


def test_those_of_the_checkout_are_the_ones_that_its_documents_name() -> None:
    assert Path(__file__).parents[2] / "configs" == CONFIGS


@pytest.mark.usefixtures("workplace")
def test_a_shipped_config_is_found_from_any_folder_unless_one_of_its_name_stands_there() -> None:
    assert shipped_file(DEMO) == CONFIGS / "compare" / "demo.yaml"
    DEMO.parent.mkdir(parents=True)
    DEMO.write_text("name: mine")
    assert shipped_file(DEMO) == DEMO


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("name", ["configs/compare/none.yaml", "demo.yaml", "/configs/compare/demo.yaml", "configs"])
def test_what_is_not_shipped_stays_what_it_is(name: str) -> None:
    assert shipped_file(Path(name)) == Path(name)


def test_an_installed_package_has_its_own_and_takes_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").mkdir()  # of some other package
    place = tmp_path / "dermssl"
    (place / "configs" / "compare").mkdir(parents=True)
    (place / "configs" / "compare" / "demo.yaml").touch()
    module = place / "shipped.py"
    module.write_text(Path(shipped.__file__).read_text())
    monkeypatch.chdir(tmp_path.parent)
    space: dict[str, object] = {"__file__": str(module)}
    exec(compile(module.read_text(), module, "exec"), space)
    assert space["CONFIGS"] == place / "configs"
    assert space["shipped_file"](DEMO) == place / "configs" / "compare" / "demo.yaml"  # type: ignore[operator]
