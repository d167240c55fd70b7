"""The form of OGB's leaderboards: every field filled in from a complete run, and everything that is missing named."""

import json
import statistics
import sys
from pathlib import Path

import pytest
import yaml

from graphkit.cli import main
from graphkit.engine.ogb_submission import submission_forms
from graphkit.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))  # the samples of OGB's files

FIELDS = [
    "OGB version", "Method", "External data", "Dataset", "Test performance", "Validation performance", "Contact", "Code",
    "Paper", "#Params", "Hardware", "Official implementation", "Command", "Seeds", "Validation edges", "Time per seed",
    "Peak memory", "Packages", "Commit",
]  # fmt: skip


def metrics(seed, split):
    return {"hits@20": 0.5 + 0.01 * seed * (seed + 3) + (0.03 if split == "valid" else 0), "hits@50": 0.9}


def write_run(folder, seeds=range(10), *, drop=None, change=None, **config):
    """A run directory on ogbl-ddi; `drop(line)` leaves lines out, `change(line)` alters them."""
    folder.mkdir(parents=True)
    whole = {"name": "ncn/ogbl-ddi", "data": {"name": "ogbl-ddi"}, "model": {"name": "NCN"}, "train": {"epochs": 2}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**whole, "seeds": list(seeds), **config}))
    lines = []
    for seed in seeds:
        for split in ("valid", "test"):
            line = {
                "experiment": "ncn/ogbl-ddi", "seed": seed, "split": split, "metrics": metrics(seed, split),
                "parameters": 1000, "seconds": 10.0 + seed, "device": "cpu (A Processor)", "threads": 2, "processes": 1,
                "peak_mib": 2000 + 100 * seed, "commit": "0123456789ab", "ties": None,
                "versions": {"python": "3.11.0", "torch": "2.13.0", "numpy": None},
            }  # fmt: skip
            if change:
                change(line)
            if drop is None or not drop(line):
                lines.append(line)
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {"memory": {"ram": 17179869184, "gpus": []}, "data": {"files": {"a": {"sha256": "00"}}}}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def fields_of(form):
    rows = [line.strip("| ").split(" | ") for line in form.splitlines() if line.startswith("| ")]
    return {row[0]: " | ".join(row[1:]) for row in rows if row[0] in FIELDS}


def test_every_field_of_the_form_is_there(tmp_path):
    run = write_run(tmp_path / "run", reference={"paper": "Wang et al., ICLR 2024"})
    form = submission_forms([run])
    found = fields_of(form)
    assert list(found) == FIELDS
    for split, field in (("test", "Test performance"), ("valid", "Validation performance")):
        values = [metrics(seed, split)["hits@20"] for seed in range(10)]
        mean = sum(values) / 10
        unbiased = (sum((value - mean) ** 2 for value in values) / 9) ** 0.5
        assert found[field] == f"{mean:.4f} ± {unbiased:.4f} (Hits@20, n=10)"
    assert found["Dataset"] == "ogbl-ddi (ogb.stanford.edu, ogbl-ddi, version 1)"
    assert (found["Method"], found["External data"], found["#Params"]) == ("NCN", "no", "1,000")
    assert found["Hardware"] == "cpu (A Processor), 2 threads, 16 GiB of memory"
    assert found["Paper"] == "Wang et al., ICLR 2024" and found["Command"] == "graphkit run ncn/ogbl-ddi --seeds 0-9"
    assert found["Packages"] == "python 3.11.0, torch 2.13.0" and found["Commit"] == "0123456789ab"
    assert (found["Time per seed"], found["Peak memory"]) == ("14.5 s", "2.8 GiB")
    assert found["Validation edges"] == "for selection alone"
    for field in ("Contact", "Code", "Official implementation"):
        assert found[field].startswith("(to be filled in") and "submission." in found[field]
    assert f"| 3 | {metrics(3, 'test')['hits@20']:.4f} | {metrics(3, 'valid')['hits@20']:.4f} |" in form


def test_what_the_run_cannot_know_comes_from_the_configuration(tmp_path):
    given = {
        "method": "NCN (tuned)", "code": "https://example.org/code", "paper": "https://example.org/paper",
        "contact": "Ada <ada@example.org>", "external_data": "names of drugs", "official": False,
    }  # fmt: skip
    found = fields_of(submission_forms([write_run(tmp_path / "run", submission=given)]))
    assert found["Method"] == "NCN (tuned)" and found["Contact"] == "Ada &lt;ada@example.org&gt;"
    assert found["Code"] == given["code"] and found["Paper"] == given["paper"]
    assert found["External data"] == "yes: names of drugs" and found["Official implementation"] == "no"


def test_parameters_are_summed_over_all_stages(tmp_path):
    def bigger(line):
        line.update(parameters=200, frozen_parameters=1000)

    first = write_run(tmp_path / "ncn")
    second = write_run(tmp_path / "ncnc", name="ncn/ogbl-ddi-ncnc", train={"start": str(first)}, change=bigger)
    found = fields_of(submission_forms([second]))
    assert found["#Params"] == "2,200 = 1,000 (ncn/ogbl-ddi) + 1,200 (ncn/ogbl-ddi-ncnc)"
    assert found["Command"] == "graphkit run ncn/ogbl-ddi --seeds 0-9, then graphkit run ncn/ogbl-ddi-ncnc --seeds 0-9"
    assert found["External data"] == "no"
    other = write_run(tmp_path / "other", data={"name": "ogbl-ppa"})
    third = write_run(tmp_path / "third", train={"start": str(other)})
    assert fields_of(submission_forms([third]))["External data"] == "yes: an earlier stage learned from ogbl-ppa"
    lost = write_run(tmp_path / "lost", train={"start": str(tmp_path / "nowhere")})
    with pytest.raises(
        UserError, match=r"the earlier stage whose weights it began with: .*nowhere is not a run directory"
    ):
        submission_forms([lost])


def test_further_seeds_are_left_out_and_several_versions_told(tmp_path):
    def change(line):
        if line["seed"] > 9:
            line["metrics"] = {"hits@20": 0.0}
        if line["seed"] == 4:
            line["commit"] = "fedcba987654-dirty"

    form = submission_forms([write_run(tmp_path / "run", range(12), change=change)])
    values = [metrics(seed, "test")["hits@20"] for seed in range(10)]
    assert f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}" in form
    assert "* Left out: seeds 10, 11, which OGB does not name." in form
    assert "* The seeds were trained with several versions of the code." in form and "in no commit" in form


def without_metric(line):
    if line["split"] == "valid":
        line["metrics"].pop("hits@20")


def pessimistic(line):
    line["ties"] = "pessimistic"
    line["metrics"] = {"mrr": 0.5 + line["seed"] / 100}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": range(3)}, r"seeds 3, 4, 5, 6, 7, 8, 9 of 0 to 9: graphkit run ncn/ogbl-ddi --seeds 0-9 --out .*/run --resume"),
        ({"seeds": range(1024, 1034)}, r"seeds 0, .* 9 of 0 to 9 \(seeds 1024, .* are there, but OGB asks for 0 to 9\)"),
        ({"drop": lambda line: line["seed"] in (2, 5) and line["split"] == "valid"}, "the validation results of seeds 2, 5"),
        ({"drop": lambda line: (line["seed"], line["split"]) == (2, "test")}, "the test results of seeds 2 in .*results.jsonl"),
        ({"change": without_metric}, "hits@20, the metric of this leaderboard, among the validation results of seeds 0, 1, 2"),
        ({"change": lambda line: line.pop("parameters")}, "the number of parameters in the results of"),
        ({"data": {"name": "ogbl-ddi", "use_valedges": True}}, "rules allow them for ogbl-collab, not for ogbl-ddi"),
        ({"data": {"name": "ogbl-biokg", "valid_triples": 1000}}, r"are of a sample of 1000 triples \(data.valid_triples\)"),
        ({"data": {"name": "ogbl-biokg"}, "change": pessimistic}, "OGB's rule for ties, protocol.ties: mean; .* by pessimistic"),
        ({"data": {"name": "umls"}}, "is a run on umls, which is none of OGB's data sets; take --format md"),
        ({"data": {"file": "triples.tsv"}}, "names no data set; OGB's form is for runs on OGB's data sets"),
    ],
)  # fmt: skip
def test_an_incomplete_run_is_refused(options, message, tmp_path):
    run = write_run(tmp_path / "run", **options)
    with pytest.raises(UserError, match=message):
        submission_forms([run])


def test_all_that_is_missing_is_named_at_once(tmp_path, capsys):
    def change(line):
        if line["split"] == "test":
            line["metrics"].pop("hits@20")

    run = write_run(tmp_path / "run", range(8), change=change, data={"name": "ogbl-ddi", "use_valedges": True})
    assert main(["report", str(run), "--format", "ogb"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "not ready for OGB's leaderboard of ogbl-ddi" in told.err
    assert all(part in told.err for part in ("seeds 8, 9", "among the test results of seeds 0", "data.use_valedges"))


def test_validation_edges_are_allowed_where_the_rules_say_so(tmp_path):
    def change(line):
        line["metrics"] = {"hits@50": 0.6 + line["seed"] / 100}

    run = write_run(tmp_path / "run", data={"name": "ogbl-collab", "use_valedges": True}, change=change)
    assert fields_of(submission_forms([run]))["Validation edges"] == "as input for test"


def test_a_run_of_ten_seeds_becomes_a_form(tmp_path, monkeypatch, capsys):
    """From the files of a small data set in OGB's layout to the form, through the command line."""
    from ogb_graph_samples import write_links

    monkeypatch.setenv("GRAPHKIT_CACHE", str(tmp_path / "cache"))
    write_links(tmp_path / "ogb", "ogbl-collab", "time")
    experiment = {
        "name": "small", "data": {"name": "ogbl-collab", "root": str(tmp_path), "use_valedges": True},
        "loader": {"batch_size": 45, "strict": True}, "train": {"epochs": 1, "device": "cpu"}, "seeds": "0-8",
        "model": {"name": "NBFNet", "hidden_channels": 4, "num_layers": 2, "symmetric": True},
        "submission": {"contact": "Ada"},
    }  # fmt: skip
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(experiment))
    run = [str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run")]
    assert main(["run", *run]) == 0
    assert main(["report", str(tmp_path / "run"), "--format", "ogb"]) == 2
    assert "seeds 9 of 0 to 9" in capsys.readouterr().err
    # what the form asks for may be said later; it is no other experiment
    assert main(["run", *run, "--resume", "--seeds", "0-9", "--submission.contact", "Grace"]) == 0
    assert (
        main(
            ["run", *run, "--resume", "--seeds", "0-9", "--submission.contact", "Hedy", "--submission.official", "true"]
        )
        == 0
    )
    capsys.readouterr()
    out = tmp_path / "form.md"
    assert main(["report", str(tmp_path / "run"), "--format", "ogb", "--out", str(out)]) == 0
    found = fields_of(out.read_text("utf-8"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    values = [line["metrics"]["hits@50"] for line in lines if line["split"] == "test"]
    assert found["Test performance"].startswith(
        f"{statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f} (Hits@50"
    )
    assert found["Contact"] == "Hedy" and found["Official implementation"] == "yes"
    assert found["#Params"] == f"{lines[0]['parameters']:,}" and "GiB of memory" in found["Hardware"]
    assert "knows no hash of some data files" in out.read_text("utf-8")
    with pytest.raises(UserError, match="unknown option of submission 'contakt'; did you mean 'contact'"):
        from graphkit.engine.config import load_config

        load_config(tmp_path / "small.yaml", ["--submission.contakt", "x"])
