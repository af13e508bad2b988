"""Write the pages, figures and findings of the documents anew from kept studies: `python -m compare.publish`."""

from compare.publish.config import PublishConfig
from dermssl.errors import one_sentence
from dermssl.flags import parse
from dermssl.places import try_places

if __name__ == "__main__":
    with one_sentence("python -m compare.publish"):
        config = parse(PublishConfig, "python -m compare.publish")
        try_places({"--root": config.root})
        from compare.publish.documents import publish_results  # once --help is answered, which waits for no library

        publish_results(config.root)
        page = config.root / "docs" / "results.md"
        print(f"open:    {page}\nresults: {page.with_suffix('')}\nnext:    git diff README.md docs")
