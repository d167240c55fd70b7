"""Train in a child that is killed at random moments, resuming until it is through; prints the number of kills.

Run as a process of its own: it imports torch once and forks, so that a kill costs milliseconds.
"""

import os
import random
import signal
import sys
import time

import torch
from toy import ToyTask, toy_model

from graphkit.engine.fit import fit
from graphkit.engine.progress import SilentReporter


class Slowly(SilentReporter):
    """640 steps of at least 2 ms, killed after at most 0.2 s: at least 6 kills, however fast the machine is."""

    def step(self, state, total):
        time.sleep(0.002)


def train(out):
    model = toy_model(seed=3)
    options = {"seed": 5, "evaluate_every": 2, "checkpoint_every": 0.01, "loader": {"batch_size": 4}}
    fit(model, ToyTask(repeat=32), epochs=8, out=out, resume=True, reporter=Slowly(), **options)


def main(out, kills, seed):
    torch.set_num_threads(1)  # a forked child must not wait for threads it did not inherit
    torch.optim.Adam(toy_model().parameters())  # torch imports much at the first optimizer; no backward before a fork
    moments = random.Random(seed)
    killed = 0
    while True:
        child = os.fork()
        if child == 0:
            train(out)
            os._exit(0)
        if killed < kills:
            time.sleep(moments.uniform(0.0, 0.2))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.WEXITSTATUS(status):
            sys.exit(f"the training failed after {killed} kills")
        else:
            break
    print(killed)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
