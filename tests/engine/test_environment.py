import json

import torch

import graphkit
from graphkit import ops
from graphkit.engine.environment import cpu_model, device_name, environment, peak_memory


def test_environment_is_json_and_names_what_decides_a_result(task, monkeypatch):
    monkeypatch.setenv("GRAPHKIT_OFFLINE", "1")
    task.provenance["odd"] = {1: torch.float32}
    record = json.loads(json.dumps(environment(task, deterministic=True)))
    assert record["versions"]["torch"] == torch.__version__ and record["versions"]["python"]
    assert set(record["versions"]) == {"python", "graphkit", "torch", "torch_geometric", "numpy"}
    assert record["cpu"]["threads"] == torch.get_num_threads() and record["cpu"]["cores"] >= 1
    assert record["data"]["hashes"] == {"train.txt": "0" * 64} and record["data"]["odd"] == {"1": "torch.float32"}
    assert record["variables"]["GRAPHKIT_OFFLINE"] == "1" and record["deterministic"] is True


def test_backends_are_those_in_force():
    with ops.force_backend("python"):
        record = environment()
    assert set(record["backends"]) == set(ops.OPS) and set(record["backends"].values()) == {"python"}
    assert environment()["backends"]["relational_spmm"] == ops.backend_of("relational_spmm")


def test_device_names():
    assert device_name(torch.device("cpu")) == f"cpu ({cpu_model()})"
    assert cpu_model()


def test_peak_memory_rises_by_what_is_held():
    before = peak_memory(torch.device("cpu"))
    assert before > 50  # MiB: torch alone takes more
    torch.ones((before + 100) << 20, dtype=torch.uint8)  # more than this process ever held
    assert before + 100 <= peak_memory(torch.device("cpu")) < 3 * before + 200


def test_version_of_graphkit_is_that_of_the_package():
    assert environment()["versions"]["graphkit"] in (None, graphkit.__version__)
