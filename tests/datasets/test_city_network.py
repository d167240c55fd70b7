"""Archives of City-Networks: synthetic ones in the published format against PyG's loader, generations, masks, damage, offline."""

import importlib.util
import io
import shutil
import socket
import tarfile
from pathlib import Path

import pytest
import torch

import graphkit as gk
from graphkit.data import CityGraph
from graphkit.datasets import CityNetwork, build_city, card, verify
from graphkit.datasets.city_archive import check_generation, read_city
from graphkit.datasets.integrity import git_blob
from graphkit.datasets.torch_files import read_torch_tensor
from graphkit.errors import DataWarning, UserError
from graphkit.shipped import shipped

SAMPLE = shipped("samples") / "city-sample" / "sample.tar.gz"


@pytest.fixture(scope="module")
def city():
    return build_city("synthetic:gabriel:200:1", name="paris")


@pytest.fixture
def root(city, tmp_path):
    """As PyG's loader has it: the archive of "paris" below root/paris/raw."""
    raw = tmp_path / "root" / "paris" / "raw"
    city.write_reference(tmp_path / "files" / "paris")
    pack(tmp_path / "files" / "paris", raw / "paris.tar.gz")
    return tmp_path / "root"


def pack(folder, target, name="paris"):
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, name)
    return target


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def by_pyg(root, augmented, monkeypatch):
    from torch_geometric.datasets import CityNetwork as Theirs

    # the archive is there: what would be fetched is what lies in the folder
    monkeypatch.setattr(
        "torch_geometric.datasets.city.download_url", lambda url, folder: str(Path(folder) / url.rpartition("/")[2])
    )
    return Theirs(str(root), "paris", augmented=augmented, force_reload=True)[0]


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="PyG's loader needs Python 3.10.12, 3.11.4 or later")
@pytest.mark.parametrize("augmented", [True, False])
def test_equal_to_pyg(root, city, augmented, tmp_path, monkeypatch, no_network):
    theirs = by_pyg(shutil.copytree(root, tmp_path / "theirs"), augmented, monkeypatch)
    with pytest.warns(DataWarning, match="no version that is known"):
        ours = CityNetwork(root, "paris", augmented=augmented)
    data = ours[0]
    assert (
        ours.num_features == data.x.shape[1] == (37 if augmented else 12) and ours.num_classes == 10 and len(ours) == 1
    )
    for key in ("x", "edge_index", "y"):
        assert torch.equal(data[key], theirs[key])
    for key in ("train_mask", "val_mask", "test_mask"):  # theirs hands on the stored indices
        assert data[key].dtype == torch.bool and torch.equal(data[key].nonzero().flatten(), theirs[key])
    assert torch.equal(data.ecc, city.ecc.float().double()) and "edge_attr" not in data
    index = CityNetwork(root, "paris", augmented=augmented, mask_type="index", keep_edge_attr=True, verify="off")[0]
    assert torch.equal(index.train_mask, theirs.train_mask) and index.edge_attr.shape == (data.num_edges, 25)


def test_features_toggle_and_the_processed_form_is_enough(root, city, cache, monkeypatch, no_network):
    options = {"verify": "off"}
    widths = [
        CityNetwork(root, "paris", augmented=augmented, **options)[0].x.shape[1] for augmented in (True, False, True)
    ]
    assert widths == [37, 12, 37] and len(list((cache / "processed").glob("city-paris-*.npz"))) == 1
    archive = root / "paris" / "raw" / "paris.tar.gz"
    # as if the published one had been read before
    entry = card("city/paris")
    done = next((cache / "processed").glob("city-paris-*.npz"))
    done.rename(done.with_name(f"city-paris-{entry.files[0].git_blob['id']}-v1.npz"))
    archive.unlink()
    assert torch.equal(CityNetwork(root, "paris")[0].x, city.x)
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    with pytest.raises(
        UserError,
        match=r"GRAPHKIT_OFFLINE is set; unset it to fetch https://.*ac754fb/data/paris.tar.gz, or place it by hand as ",
    ):
        CityNetwork(root, "paris", force_reload=True)
    with pytest.raises(UserError, match=r"london\.tar\.gz is not there"):
        CityNetwork(root, "london")


@pytest.mark.parametrize("kind", ["archive", "folder", "parent"])
def test_sources(root, city, tmp_path, kind):
    source = {
        "archive": root / "paris/raw/paris.tar.gz",
        "folder": tmp_path / "files/paris",
        "parent": tmp_path / "files",
    }[kind]
    data = CityNetwork(None, "paris", source=source, verify="off", standardize="train")[0]
    assert data.x[data.train_mask][:, [0, 1, 12]].mean(0).abs().max() < 1e-3
    assert torch.equal(data.x[:, 3:12], city.x[:, 3:12])
    again = CityNetwork(None, "paris", source=source, verify="off", transform=lambda data: data.num_nodes)
    assert again[0] == city.num_nodes and again[-1] == city.num_nodes
    with pytest.raises(IndexError):
        again[1]


def test_an_unpacked_folder_of_pyg_is_used(root, city, tmp_path, no_network):
    (root / "paris/raw/paris.tar.gz").unlink()
    (tmp_path / "files/paris").rename(root / "paris/raw/paris")
    assert torch.equal(CityNetwork(root, "paris", verify="off")[0].x, city.x)
    for raises, kind, how in ((pytest.raises, UserError, "strict"), (pytest.warns, DataWarning, "warn")):
        with raises(kind, match="holds 200 nodes and .* directed edges; paris has 114127 and 365022"):
            CityNetwork(root, "paris", verify=how)
    with pytest.raises(UserError, match="paris has 114127"):
        gk.load("city/paris", root=root)


def test_bool_masks(city, tmp_path):
    city.write_reference(tmp_path)
    for split, mask in city.masks.items():
        torch.save(mask, tmp_path / f"{split}_mask.pt")
    again = read_city(tmp_path, "town")
    assert all(torch.equal(again.masks[split], mask) for split, mask in city.masks.items())
    (tmp_path / "16-hop_eccentricities.pt").unlink()
    (tmp_path / "edge_features.pt").unlink()
    assert read_city(tmp_path, "town").ecc is None
    (tmp_path / "node_features.pt").unlink()
    assert torch.equal(read_city(tmp_path, "town").x_node, city.x_node)


def test_generations_are_named(tmp_path, monkeypatch):
    entry = card("city/paris")
    assert {
        name: len(card(f"city/{name}").files[0].git_blob["earlier"]) for name in ("paris", "shanghai", "la", "london")
    } == dict.fromkeys(("paris", "shanghai", "la", "london"), 3)
    archive = tmp_path / "paris.tar.gz"
    archive.write_bytes(b"x")
    for id, message in (
        (
            "3454554c" + "0" * 32,
            r"an earlier version, the first archive \(commit b00cac9\): other data under the same name",
        ),
        ("581538df" + "0" * 32, "commit ca396f5"),
        ("0" * 40, "no version that is known"),
    ):
        monkeypatch.setattr("graphkit.datasets.integrity.git_blob", lambda path, id=id: id)
        with pytest.raises(UserError, match=message):
            check_generation(archive, "paris", "strict")
        with pytest.warns(DataWarning, match=message):
            check_generation(archive, "paris")
        with pytest.raises(UserError, match=message):
            gk.load("city/paris", root=tmp_path)
    assert not (tmp_path / "cache" / "pins").exists()  # a refused file is not taken for the first one seen
    monkeypatch.setattr("graphkit.datasets.integrity.git_blob", lambda path: entry.files[0].git_blob["id"])
    check_generation(archive, "paris", "strict")


def test_git_blob(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert git_blob(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def hostile(path, member, content=b"x", kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(member)
        entry.type, entry.linkname, entry.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
        archive.addfile(entry, io.BytesIO(content))
    return path


class Foreign:
    def __reduce__(self):
        return print, ("this must not run",)


def test_hostile_and_damaged_archives(tmp_path, city, capsys):
    path = tmp_path / "town.tar.gz"
    for member, kind, link in (
        ("../evil.pt", tarfile.REGTYPE, ""), ("/etc/evil.pt", tarfile.REGTYPE, ""),
        ("town/edge_indices.pt", tarfile.SYMTYPE, "/etc/passwd"),
        ("town/edge_indices.pt", tarfile.LNKTYPE, "x"),
    ):  # fmt: skip
        with pytest.raises(UserError, match="a link or a path out of the archive"):
            read_city(hostile(path, member, kind=kind, link=link), "town")
    with pytest.raises(UserError, match=r"lacks node_features_augmented\.pt"):
        read_city(hostile(path, "town/other.txt"), "town")
    with pytest.raises(UserError, match=r"edge_indices.pt of .* is damaged|is not read"):
        city.write_reference(tmp_path / "a")
        (tmp_path / "a" / "edge_indices.pt").write_bytes(b"garbage")
        read_city(pack(tmp_path / "a", path, "town"), "town")
    torch.save(Foreign(), tmp_path / "a" / "edge_indices.pt")
    with pytest.raises(UserError, match="is not read, and nothing of it was run"):
        read_city(tmp_path / "a", "town")
    assert "this must not run" not in capsys.readouterr().out
    torch.save({"a": 1}, tmp_path / "a" / "edge_indices.pt")
    with pytest.raises(UserError, match="holds a dict, expected one dense tensor"):
        read_torch_tensor(tmp_path / "a" / "edge_indices.pt")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"damaged or no .tar.gz"):
        read_city(path, "town")
    with pytest.raises(UserError, match="there is no archive"):
        read_city(tmp_path / "none.tar.gz", "town", verify="off")
    with pytest.raises(UserError, match="there is no file or folder"):
        CityNetwork(None, "town", source=tmp_path / "none.tar.gz")


def spoilt(**changes):
    def change(folder, city):
        for file, make in changes.items():
            torch.save(make(city), folder / f"{file.replace('labels', '10-chunk_16-hop_node_labels')}.pt")

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoilt(train_mask=lambda c: torch.tensor([0, 0])), "the train mask names a node twice"),
        (
            spoilt(train_mask=lambda c: torch.tensor([999])),
            r"the train mask names node 999, expected ids in \[0, 200\)",
        ),
        (
            spoilt(valid_mask=lambda c: torch.zeros(7)),
            r"the valid mask is torch.float32 \[7\], expected bool \[200\] or indices",
        ),
        (spoilt(test_mask=lambda c: torch.ones(200, dtype=torch.bool)), "is in two splits"),
        (
            spoilt(edge_indices=lambda c: c.edge_index[:, c.edge_index[0] < c.edge_index[1]]),
            "one direction only; the first archives were directed",
        ),
        (spoilt(edge_indices=lambda c: c.edge_index.int()), r"edges are torch.int32"),
        (spoilt(edge_indices=lambda c: c.edge_index + 1), "leads out of the nodes 0 .. 199"),
        (spoilt(edge_indices=lambda c: torch.tensor([[3], [3]])), "self-loops"),
        (spoilt(labels=lambda c: c.y.float()), "labels are torch.float32"),
        (spoilt(node_features=lambda c: c.x_node[1:]), r"node_features.pt is \[199, 12\]"),
        (spoilt(node_features_augmented=lambda c: c.x * float("nan")), "expected finite numbers"),
    ],
)
def test_bad_content(city, tmp_path, change, message):
    city.write_reference(tmp_path)
    change(tmp_path, city)
    with pytest.raises(UserError, match=message):
        read_city(tmp_path, "town")


def test_mistakes(root):
    for options, message in (
        ({"name": "pariss"}, "did you mean 'paris'"),
        ({"verify": "maybe"}, "verify"),
        ({"mask_type": "list"}, "mask_type"),
        ({"standardize": "test"}, "standardize"),
        ({"root": None}, "root is missing"),
    ):
        with pytest.raises(UserError, match=message):
            CityNetwork(**{"root": root, "name": "paris", **options})


def test_the_sample(no_network, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    task = gk.load("city/sample")
    assert task.statistics() == card("city/sample").statistics and not task.directed
    assert task.graph().pos.shape == (task.num_nodes, 2) and not task.leak_check().warnings
    scaled = gk.load("city/sample", features="standardized", task="node")
    assert scaled.x[:, [0, 1, 2, 12, 13]].mean(0).abs().max() < 1e-4 and torch.equal(scaled.x[:, 3:12], task.x[:, 3:12])
    assert [ok for _, ok, _ in verify("city/sample")] == [True]
    with pytest.raises(UserError, match="is given, not drawn"):
        gk.load("city/sample", split_seed=3)
    assert gk.load("city/sample", split="60/20/20").statistics()["train"] > task.statistics()["train"]


def test_the_sample_is_what_its_script_makes(monkeypatch):
    path = Path(__file__).resolve().parents[2] / "datasets" / "build" / "city_cards.py"
    spec = importlib.util.spec_from_file_location("city_cards", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = read_city(SAMPLE, "sample")
    again = script.the_sample()
    assert isinstance(again, CityGraph) and made.digest.isalnum()
    for key in ("x", "x_node", "edge_index", "edge_attr", "y"):
        assert torch.equal(getattr(made, key), getattr(again, key))
    assert torch.equal(made.ecc, again.ecc.float().double())
