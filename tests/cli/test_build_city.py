"""``graphkit data build-city``: what it writes is read by PyG and here; mistakes leave nothing behind."""

import torch

from graphkit.cli import main
from graphkit.data import CityGraph
from graphkit.datasets import build_city
from graphkit.datasets.city_archive import read_city


def test_written_in_both_forms(tmp_path, capsys):
    options = ["--name", "my town", "--k", "5", "--split", "spatial_block"]
    assert main(["data", "build-city", "synthetic:gabriel:150:2", "--out", str(tmp_path), *options]) == 0
    city = CityGraph.load(tmp_path / "my_town.npz")
    wanted = build_city("synthetic:gabriel:150:2", name="my town", k=5, split_kind="spatial_block")
    assert city.digest == wanted.digest and city.digest[:20] in capsys.readouterr().out.replace("\n", "")
    folder = tmp_path / "my_town" / "raw" / "my_town"
    assert len(list(folder.iterdir())) == 9 and torch.equal(
        torch.load(folder / "edge_indices.pt", weights_only=True), city.edge_index
    )


def test_sixteen_hops_are_the_published_format(tmp_path):
    assert main(["data", "build-city", "synthetic:grid:150:2", "--out", str(tmp_path), "--name", "town"]) == 0
    city, read = CityGraph.load(tmp_path / "town.npz"), read_city(tmp_path / "town" / "raw", "town")
    assert torch.equal(read.x, city.x) and torch.equal(read.y, city.y)


def test_mistakes(tmp_path, capsys):
    for words, message in (
        (["synthetic:grd:100", "--out", str(tmp_path / "out")], "did you mean 'grid'"),
        (["nowhere.osm", "--out", str(tmp_path / "out")], "there is no file nowhere.osm"),
        (["synthetic:grid:100"], "--out"),
        (["synthetic:grid:100", "--out", str(tmp_path / "out"), "--split", "blocks"], "spatial_block"),
    ):
        assert main(["data", "build-city", *words]) == 2
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said
    assert not (tmp_path / "out").exists()
