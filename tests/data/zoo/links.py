"""Symbolic links: to folders, to files, to nothing, and in a circle."""

from data.zoo.drawing import ODD, ORDINARY, lesions, mask_file, pairs, photos
from data.zoo.exhibit import Exhibit, Read, Refused

STORE = pairs(images="store/pictures/{}.png", masks="store/outlines/{}.png")


def links() -> list[Exhibit]:
    """All exhibits of this file."""
    return [linked_folders(), linked_files(), linked_set(), *circles(), *linked_twice(), dangling()]


def linked_folders() -> Exhibit:
    """`images` and `masks` lead elsewhere."""
    leads = {"set/images": "../store/pictures", "set/masks": "../store/outlines"}
    return Exhibit("link_folders", STORE, Read(photos(), lesions()), data="set", links=leads)


def linked_files() -> Exhibit:
    """Each file leads elsewhere."""
    leads = {f"set/images/{name}.png": f"../../store/pictures/{name}.png" for name in ORDINARY}
    leads |= {f"set/masks/{name}.png": f"../../store/outlines/{name}.png" for name in ORDINARY}
    return Exhibit("link_files", STORE, Read(photos(), lesions()), data="set", links=leads)


def linked_set() -> Exhibit:
    """The folder given as --data leads elsewhere."""
    files = pairs(images="store/images/{}.png", masks="store/masks/{}.png")
    return Exhibit("link_to_the_set", files, Read(photos(), lesions()), data="set", links={"set": "store"})


def circles() -> list[Exhibit]:
    """Folders that hold themselves: reading ends, and says so."""
    outcome = Read(photos(), lesions(), notes=(r"link",))
    return [
        Exhibit("link_to_its_own_folder", pairs(), outcome, links={"images/again": "."}),
        Exhibit("link_to_the_folder_above", pairs(), outcome, links={"images/up": ".."}),
        Exhibit("link_of_two_that_circle", pairs(), Read(photos(), lesions()), links={"a": "b", "b": "a"}),
    ]


def linked_twice() -> list[Exhibit]:
    """One folder by two ways: it is read once."""
    outcome = Read(photos(), lesions(), notes=(r"link",))
    files = pairs(images="set/images/{}.png", masks="set/masks/{}.png")
    two = {"set/images": "../store/pictures", "set/masks": "../store/outlines", "set/more": "../store/pictures"}
    return [
        Exhibit("link_to_a_folder_that_is_there", files, outcome, data="set", links={"set/same": "images"}),
        Exhibit("link_twice_to_one_folder", STORE, outcome, data="set", links=two),
    ]


def dangling() -> Exhibit:
    """A picture that leads to nothing."""
    files = pairs() | {f"masks/{ODD}.png": mask_file(ODD)}
    refusal = Refused((r"link",), "unreadable")
    return Exhibit("link_to_nothing", files, refusal, links={f"images/{ODD}.png": "../moved/away.png"})
