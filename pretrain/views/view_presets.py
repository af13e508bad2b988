"""The recipes of views, as numbers that both engines read."""

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ViewPreset:
    """What a view may change about its picture."""

    area: Range
    """Share of the picture that a view shows."""
    local_area: Range
    """The same of a small crop of multi-crop."""
    ratio: Range = (3 / 4, 4 / 3)
    """Width by height of the crop."""
    symmetries: bool
    """Whether all eight symmetries of the square are as likely; else half of the views are mirrored left to right."""
    turn: float
    """Largest turn beside them, degrees, to either side."""
    turned: float
    """Probability of such a turn."""
    brightness: Range
    contrast: Range
    saturation: Range
    """Factors."""
    hue: Range
    """In turns of the colour circle."""
    jittered: float
    """Probability of the four changes of colour."""
    grey: float
    """Probability of a view without colour."""
    sigma: Range
    """Standard deviation of the blur, pixels of the view."""
    blurred: float
    """Probability of a blur."""


# A lesion has no up, its colour is a sign, and a crop without it says nothing of it.
DERMOSCOPY = ViewPreset(
    area=(0.35, 1), local_area=(0.12, 0.35), symmetries=True, turn=45, turned=0.5,
    brightness=(0.7, 1.3), contrast=(0.7, 1.3), saturation=(0.8, 1.2), hue=(-0.02, 0.02), jittered=0.8,
    grey=0.05, sigma=(0.1, 1.5), blurred=0.3,
)  # fmt: skip

# SimCLR (Chen et al. 2020, appendix A) as lightly's SimCLRTransform has it; small crops as in DINO.
IMAGENET = ViewPreset(
    area=(0.08, 1), local_area=(0.05, 0.4), symmetries=False, turn=0, turned=0,
    brightness=(0.2, 1.8), contrast=(0.2, 1.8), saturation=(0.2, 1.8), hue=(-0.2, 0.2), jittered=0.8,
    grey=0.2, sigma=(0.1, 2.0), blurred=0.5,
)  # fmt: skip

# Crops and symmetries alone: for methods that ask a picture for its own pixels, whose colours are then what is learned.
# Crops as in SparK (Tian et al. 2023), small ones as in dermoscopy.
GEOMETRY = ViewPreset(
    area=(0.67, 1), local_area=(0.12, 0.35), symmetries=True, turn=0, turned=0,
    brightness=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=(0, 0), jittered=0,
    grey=0, sigma=(0, 0), blurred=0,
)  # fmt: skip

VIEW_PRESETS = {"dermoscopy": DERMOSCOPY, "imagenet": IMAGENET, "geometry": GEOMETRY}
