"""A cache of its own and no other source for every test of the data sets; real data where a test asks for them."""

import hashlib
import os
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the samples beside the tests

_DATA = Path(os.environ.get("GRAPHKIT_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder; neither GRAPHKIT_DATA nor GRAPHKIT_OFFLINE is set."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAPHKIT_CACHE", str(folder))
    monkeypatch.delenv("GRAPHKIT_DATA", raising=False)
    monkeypatch.delenv("GRAPHKIT_OFFLINE", raising=False)
    return folder


@pytest.fixture
def data_root():
    """The folder with the real data sets."""
    if not _DATA.is_dir():
        if os.environ.get("GRAPHKIT_REQUIRE_DATA"):  # continuous integration: these tests must run
            pytest.fail(f"no data sets at {_DATA}")
        pytest.skip(f"no data sets at {_DATA}; set GRAPHKIT_DATA to the folder that holds them")
    return _DATA


SPLITS = {
    "train": "rome\tcapital_of\titaly\nparis\tcapital_of\tfrance\nitaly\tborders\tfrance\n",
    "valid": "madrid\tcapital_of\tspain\n",
    "test": "spain\tborders\tfrance\n",
}


class ToyCard:
    """A card of a tiny data set, and a root that holds its files in the public layout."""

    def __init__(self, folder):
        self.path, self.root = folder / "toy.yaml", folder / "root"
        self.raw = self.root / "toy" / "raw"
        self.raw.mkdir(parents=True)
        files = []
        for split, text in SPLITS.items():
            (self.raw / f"{split}.txt").write_text(text)
            digest = hashlib.sha256(text.encode()).hexdigest()
            files.append({"path": f"{split}.txt", "url": None, "bytes": len(text), "sha256": digest})
        self.content = {
            "name": "toy",
            "title": "capitals",
            "task": "knowledge_graph",
            "reader": "triples",
            "folders": ["toy/raw"],
            "files": files,
            "licence": "CC0",
            "citation": "nobody",
            "source": "written for a test",
            "statistics": {"entities": 6, "relations": 2, "train": 3, "valid": 1, "test": 1},
        }
        self.write()

    @property
    def name(self):
        return str(self.path)

    def write(self, **changes):
        """Write the card anew with changes."""
        self.content.update(changes)
        self.path.write_text(yaml.safe_dump(self.content))


@pytest.fixture
def toy(tmp_path):
    return ToyCard(tmp_path)
