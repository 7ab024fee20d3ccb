# The only functions of the workflow: the checked configuration, and what follows from it.

import gc
import json
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.io import get_wildcard_names

from gdyn.analyses import FIGURES, analyses_of, behind, figures_of
from gdyn.config import load_config, load_system
from gdyn.config.load import FOUND_BEFORE, written_so_far
from gdyn.config.networks import NETWORKS
from gdyn.errors import ConfigError
from gdyn.files import expand as expand_files
from gdyn.provenance import SINCE
from gdyn.simulation.deck import read_deck

# A workflow of thousands of jobs is millions of objects that live to the end. Looking for garbage among them less often
# saves a tenth of the time that Snakemake needs to plan.
gc.set_threshold(100_000, 20, 100)


def checked(load, *arguments):
    """Load a configuration; its problems end the run before any job starts, with a sentence for each."""
    try:
        return load(*arguments)
    except ConfigError as error:
        sys.exit(str(error))


CONFIG = checked(load_config, config)


@cache
def system(name):
    """The configuration of a system."""
    return checked(load_system, name, CONFIG)


if CONFIG.until and workflow.is_main_process:
    os.environ.pop(FOUND_BEFORE, None)  # of an earlier Snakemake
    simulated = [name for name in CONFIG.systems if system(name).simulate]
    os.environ[FOUND_BEFORE] = json.dumps({name: list(written_so_far(name, system(name))) for name in simulated})

SYSTEMS = [name for name in CONFIG.names if system(name)]


wildcard_constraints:
    system="[^/]+",
    trajectory="[0-9]+",
    part="[0-9]+",
    shard="[0-9]+",
    trial="[^/]+",
    seed="[0-9]+",
    number="[0-9]+",
    figure="|".join(FIGURES),


def section(*names):
    """Params: these sections of a system alone, so that a change elsewhere in its file reruns nothing.

    The files of the trajectories are inputs: one that is added reruns nothing for the others.
    """
    known = cache(
        lambda name: system(name).model_dump(
            mode="json", include=set(names), exclude={"trajectory": {"files", "labels", "not_begun"}}
        )
    )
    return lambda wildcards: known(wildcards.system)


def of_system(pattern, **values):
    """Input: ``pattern`` with the wildcards filled in, for all values that the functions of the system give."""

    @cache
    def known(**wildcards):
        of = system(wildcards["system"])
        return expand(pattern, **wildcards | {name: list(value(of)) for name, value in values.items()})

    # Only the wildcards of the pattern, so that all jobs of a system share what is found once.
    names = set(get_wildcard_names(pattern)) - set(values)
    return lambda wildcards: known(**{name: wildcards[name] for name in names})


def of_model(pattern):
    """Input: a file of the system that the model comes from, which may be another one."""
    return lambda wildcards: of_other(pattern, wildcards) or pattern.format(system=wildcards.system)


def with_model_of(pattern):
    """Input: a file of the other system that the model comes from, if it does."""
    return lambda wildcards: of_other(pattern, wildcards) or []


def of_other(pattern, wildcards):
    """A file of the system whose model is applied; what is looked at now takes it as it is, and makes nothing anew."""
    known = system(wildcards.system)
    path = known.apply and pattern.format(system=known.apply)
    # No rule gives an absolute path, so none is asked for it.
    return os.path.abspath(path) if path and CONFIG.until else path


def trajectories(system):
    return range(system.n_trajectories)


def parts(system):
    """The numbers of the parts of a simulated run."""
    return range(checked(system.n_parts, known_deck(system).goes_on))


def shards(system):
    return range(system.graphs.shards * (len(parts(system)) if system.simulate else 1))


def trials(system):
    return system.trials


def seeds(system):
    return system.seeds


def deck_of(system):
    return Path(CONFIG.system_dir, system.simulate.deck)


@cache
def read_once(path):
    return checked(read_deck, path)


def known_deck(system):
    """What the LAMMPS deck of a simulated system is like."""
    return read_once(deck_of(system))


def deck(wildcards):
    """Input: the LAMMPS deck of a simulated system; what it says, not when it was written, is among the params."""
    return ancient(deck_of(system(wildcards.system)))


def beginning(wildcards):
    """Params: what a simulation begins with."""
    return system(wildcards.system).simulate.model_dump(mode="json", include={"structure", "seed"})


def preparation(wildcards):
    """Params: all that the preparation of a run follows from."""
    known = stretch(wildcards, 0)
    return {name: known[name] for name in ("deck", "timestep", "seed", "variables")}


def stretch(wildcards, part=None):
    """Params: all that a part of a run follows from."""
    known, deck = system(wildcards.system), known_deck(system(wildcards.system))
    number = int(wildcards.part) if part is None else part
    return known.stretch(int(wildcards.trajectory), number, deck.goes_on) | {"deck": deck.digest}


def before(wildcards):
    """Input: what a part of a run goes on from: the preparation and the part before; nothing if the deck cannot."""
    if not known_deck(system(wildcards.system)).goes_on:
        return []
    place = f"results/{wildcards.system}/simulation/{wildcards.trajectory}"
    return [f"{place}.prepared.restart", *([f"{place}-{int(wildcards.part) - 1}.json"] if int(wildcards.part) else [])]


def part_before(wildcards):
    """Input: the store of the part before, if there is one."""
    place = f"results/{wildcards.system}/trajectory/parts/{wildcards.trajectory}"
    return f"{place}-{int(wildcards.part) - 1}.h5" if int(wildcards.part) else []


def cores_of_run(wildcards):
    """Threads: the cores of a run of LAMMPS."""
    return ranks(wildcards) * cores_of_rank(wildcards)


def ranks(wildcards):
    """Resource: MPI processes of a run of LAMMPS."""
    return system(wildcards.system).simulate.ranks


def cores_of_rank(wildcards):
    """Resource: cores of each of them."""
    return system(wildcards.system).simulate.threads


def gpus_of_run(wildcards):
    """Resource: GPUs of a run of LAMMPS."""
    return system(wildcards.system).simulate.gpus


def memory_of_run(wildcards, attempt):
    """Resource: MB of a run of LAMMPS; more with every attempt."""
    return attempt * (700 + 300 * ranks(wildcards))


def mpi_of_run(wildcards):
    """Resource: whether the job starts the processes of a run itself, by srun, as jobs of MPI do."""
    return "srun" if ranks(wildcards) > 1 else ""


def built(wildcards):
    """Input: the starting structure of a simulation, where there is one to build."""
    known = system(wildcards.system).simulate.structure
    return f"results/{wildcards.system}/simulation/{wildcards.trajectory}.data" if known else []


def frames(wildcards):
    """The files of a trajectory: made by the workflow, or the user's."""
    files = system(wildcards.system).trajectory.files
    if files:
        return checked(expand_files, files[int(wildcards.trajectory)])
    return parts_of_trajectory(wildcards)


def parts_of_trajectory(wildcards, last=None):
    """The stores of the parts of a simulated trajectory, all or up to one of them."""
    numbers = parts(system(wildcards.system)) if last is None else range(last + 1)
    place = f"results/{wildcards.system}/trajectory/parts/{wildcards.trajectory}"
    return [f"{place}-{part}.h5" for part in numbers]


def stores_of_shard(wildcards):
    """Input: the trajectory that a shard is of, or the parts of a simulated one up to that of the shard."""
    known = system(wildcards.system)
    if not known.simulate:
        return [f"results/{wildcards.system}/trajectory/{wildcards.trajectory}.h5"]
    return parts_of_trajectory(wildcards, int(wildcards.shard) // known.graphs.shards)


def topology(wildcards):
    """Input: the LAMMPS data file of a system that has one."""
    return system(wildcards.system).trajectory.topology or []


def hops(wildcards):
    """Params: how many neighbors away the deepest network of a system sees."""
    return system(wildcards.system).hops


def trial(wildcards):
    """The hyperparameters of a trial: of the search, of the baseline, or of a first model."""
    known = system(wildcards.system)
    return (known.trials | known.baselines | known.pilots)[wildcards.trial].model_dump()


what_trainings_use = section("splits", "targets", "network", "training")


def training_settings(wildcards):
    """Params: the sections that a training depends on. A first model ends where its processes are found."""
    settings, known = what_trainings_use(wildcards), system(wildcards.system)
    if wildcards.trial not in known.pilots:
        return settings
    splits = known.splits.of_first_model.model_dump(mode="json")
    return settings | {"splits": splits, "training": settings["training"] | {"scheme": "vamp2"}}


def first_states(wildcards):
    """Input: the validation states of the first model."""
    known = system(wildcards.system)
    (pilot,) = known.pilots
    return f"results/{wildcards.system}/trials/{pilot}/seed~{known.seeds[0]}/validation.h5"


def lag_found(wildcards):
    """Input: the lag time, of a trial whose lag time is to be found."""
    return [] if trial(wildcards)["lag_ps"] else f"results/{wildcards.system}/analysis/lag.json"


def fewer_added(wildcards):
    """Input: whether one state fewer added a process, where the number of states is to be found.

    What has been trained stays as it is if that is looked at again, with more seeds for example.
    """
    known, of = system(wildcards.system), trial(wildcards)
    if known.search.n_states != "auto" or wildcards.trial not in known.trials or of["n_states"] == 2:
        return []
    model = Path(f"results/{wildcards.system}/trials/{wildcards.trial}/seed~{wildcards.seed}/model.pt")
    path = f"results/{wildcards.system}/trials/added/{of['n_states'] - 1}.json"
    return ancient(path) if model.exists() and model.stat().st_size else path


def up_to_number(file):
    """Input: a file of all trainings of at most a number of states."""

    def files(wildcards):
        known, number = system(wildcards.system), int(wildcards.number)
        names = [name for name, of in known.trials.items() if of.n_states <= number]
        return expand(
            f"results/{wildcards.system}/trials/{{trial}}/seed~{{seed}}/{file}", trial=names, seed=known.seeds
        )

    return files


def baselines(system):
    return system.baselines


def graphs_or_trajectories(model):
    """Input: what a network reads of a system: the graphs, or the trajectories themselves."""
    graphs = of_system("results/{system}/graphs/{trajectory}-{shard}.h5", trajectory=trajectories, shard=shards)
    whole = of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories)
    files = {"graphs": graphs, "trajectories": whole}
    return lambda wildcards: files[NETWORKS[model(wildcards)].reads](wildcards)


def warm_start(wildcards):
    """Input: the model that the trainings of a system begin from, if there is one."""
    return system(wildcards.system).training.warm_start or []


def memory(base_mb, per_mb=0.0, file="states"):
    """Resource: MB, growing with the size of an input file, and with every attempt."""

    def needed(wildcards, input, attempt):
        # A file that is not there yet raises FileNotFoundError: Snakemake asks again when it is.
        size_mb = Path(getattr(input, file)).stat().st_size / 1e6 if per_mb else 0.0
        return attempt * round(base_mb + per_mb * size_mb)

    return needed


def runtime(minutes):
    """Resource: minutes, growing with every attempt."""
    return lambda wildcards, attempt: attempt * minutes


def processes(wildcards):
    """Resource: the GPUs of a training."""
    return system(wildcards.system).training.processes


def nodes(wildcards):
    """Resource: the nodes of a training."""
    return system(wildcards.system).training.nodes


def memory_mb(wildcards):
    """Params: memory for graphs and what is computed from them."""
    return system(wildcards.system).training.memory_mb


def training_memory_mb(wildcards, attempt):
    """Resource: that, beside what Python and torch need, in every process of a node; more with every attempt."""
    return attempt * (processes(wildcards) // nodes(wildcards)) * (memory_mb(wildcards) + 2000)


def results(chosen):
    """Input: all files of some analyses, which ``chosen`` gives from the wildcards."""

    def files(wildcards):
        patterns = [(one, f"results/{{system}}/{file}") for one in chosen(wildcards) for file in one.files.values()]
        return [of_model(path)(wildcards) if one.of_model else path.format(**wildcards) for one, path in patterns]

    return files


def with_export(path):
    """Input: the states as a LAMMPS dump, for a system that asks for one."""
    return lambda wildcards: [path] if system(wildcards.system).export else []
