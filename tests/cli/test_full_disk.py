"""A run whose files may not grow, and one on data that may not be written to: told in a sentence, gone on with later."""

import json
import os
import resource
import subprocess
import sys

import pytest

CONFIG = """\
name: own
data: {{file: {folder}/data/triples.tsv, valid: 0.2, test: 0.2}}
model: {{name: DistMult, hidden_channels: 64}}
train: {{epochs: 2, lr: 0.1, checkpoint_every: 0}}
seeds: [0]
"""


@pytest.fixture
def config(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "triples.tsv").write_text("".join(f"e{i % 9}\tr{i % 2}\te{i * 5 % 11}\n" for i in range(40)))
    (tmp_path / "own.yaml").write_text(CONFIG.format(folder=tmp_path))
    yield tmp_path / "own.yaml"
    folder.chmod(0o755)


def run(config, *words, bytes=None):
    def limit():
        if bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))

    words = [sys.executable, "-m", "graphkit", "run", str(config), "--out", str(config.parent / "out"), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, text=True, timeout=300, preexec_fn=limit, env=environment)


def test_a_run_goes_on_when_there_is_room_again(config):
    done = run(config, bytes=12_000)  # room for the configuration and the log, none for a checkpoint
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr and "checkpoint.safetensors: File too large" in done.stderr
    assert "make room or choose another folder, then go on with resume" in done.stderr
    assert "Traceback" not in done.stderr
    folder = config.parent / "data"  # and now the data cannot be written to, which nobody wants to
    (folder / "triples.tsv").chmod(0o444)
    folder.chmod(0o555)
    before = sorted(path.name for path in folder.iterdir())
    done = run(config, "--resume")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (config.parent / "out" / "results.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} >= {"valid", "test"}
    assert sorted(path.name for path in folder.iterdir()) == before
    assert not list((config.parent / "out").rglob(".*.part"))
