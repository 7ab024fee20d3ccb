"""Compare ways of training on graph shards, over numbers of states and seeds.

    python tests/benchmarks/schemes.py SHARD... --lag-ps 10 --states 2 3 4 --seeds 5 \
        --variants scheme=simplex scheme=vamp2 scheme=simplex,normalisation=batch

A variant is a list of keys of the sections ``training`` and ``network`` and of the trial, with their values. For each
there is a line: the mean over the seeds of the validation VAMP-2 score and of the purity, the population of the largest
state and the slowest timescale from the least to the greatest, how many seeds have the states of the one of the highest
score (overlaps at least 0.8), how many its slowest timescale too (within 10 %), and the time for one training.
"""

import argparse
import logging
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import yaml

from gdyn.config.models import Network, Splits, Targets, Training, Trial
from gdyn.files import read_json
from gdyn.selection import SAME_OVERLAP, compare_seeds
from gdyn.training.loop import train

TRIAL = {"width": 16, "convolutions": 2, "learning_rate": 0.005}


def run(job):
    """Train once; return what its numbers say."""
    folder, shards, n_states, lag_ps, seed, variant = job
    logging.getLogger("gdyn").addHandler(logging.NullHandler())
    logging.getLogger("gdyn").propagate = False
    folder.mkdir(parents=True)
    keys = dict(variant)
    trial = {key: keys.pop(key, value) for key, value in TRIAL.items()}
    network = {key: keys.pop(key) for key in list(keys) if key in Network.model_fields}
    files = {"model": "model.pt", "history": "history.csv", "states": "validation.h5", "numbers": "numbers.json"}
    paths = {name: folder / file for name, file in files.items()}
    train(
        files=shards,
        **paths,
        resume=folder / "resume.pt",
        trial=Trial(n_states=n_states, lag_ps=lag_ps, **trial),
        seed=seed,
        threads=1,
        device="auto",
        splits=Splits(),
        targets=Targets(selection="all"),
        network=Network(**network),
        training=Training(**keys),
    )
    return {"model": paths["model"], "states": paths["states"], **read_json(paths["numbers"])}


def main():
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--lag-ps", type=float, required=True)
    parser.add_argument("--states", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--variants", nargs="+", default=["scheme=simplex"])
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    print("states   score  purity  largest state       slowest, ps  same states  agree      s  variant")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(given.jobs) as pool:
        for variant in given.variants:
            keys = {k: yaml.safe_load(v) for k, v in (pair.split("=") for pair in variant.split(","))}
            for n_states in given.states:
                jobs = [
                    (Path(folder, variant, str(n_states), str(seed)), given.shards, n_states, given.lag_ps, seed, keys)
                    for seed in range(1, given.seeds + 1)
                ]
                runs = list(pool.map(run, jobs))
                best = max(runs, key=lambda run: run["validation_vamp2"])
                seeds = compare_seeds(best, runs)
                same = sum(seed.overlap.min() >= SAME_OVERLAP for seed in seeds.each)
                times = [seed.timescale_ps for seed in seeds.each]
                largest = [max(run["populations"]) for run in runs]
                mean = {
                    key: sum(run[key] for run in runs) / len(runs) for key in ("validation_vamp2", "purity", "wall_s")
                }
                print(
                    f"{n_states:6d} {mean['validation_vamp2']:7.4f} {mean['purity']:7.4f} "
                    f"{min(largest):6.4f}-{max(largest):6.4f} {min(times):8.1f}-{max(times):8.1f} "
                    f"{same:9d}/{seeds.tried:<2d} {seeds.agreeing:3d}/{seeds.tried:<2d} "
                    f"{mean['wall_s']:6.1f}  {variant}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
