"""summary.json: every number of a system's report."""

import numpy as np

import gdyn
from gdyn.files import read_json, write_json
from gdyn.logs import LOG
from gdyn.provenance import settings_checksum
from gdyn.store import TrajectoryStore

UNITS = {
    "lag_ps": "ps",
    "populations": "1",
    "timescales_ps": "ps",
    "koopman": "1, probability per lag time",
    "koopman_reversible": "1, probability per lag time",
    "timescales_reversible_ps": "ps",
    "lifetimes_ps": "ps",
    "first_passage_ps": "ps, from row to column",
    "stationary_distribution": "1",
    "vamp2": "1",
    "ck_max_deviation": "1, probability",
    "purity": "1",
    "global": "ps",
    "training.wall_s": "s",
    "training.frames_per_s": "1/s",
}


def summarise(choice, koopman, chapman_kolmogorov, sites, trajectories, summary, name, system):
    """Gather the numbers of all analyses.

    A number ``x`` that has a 95 % interval has a twin ``x_interval`` with ``low`` and ``high`` of the same
    shape; timescales carry theirs with them.

    Parameters
    ----------
    choice, koopman, chapman_kolmogorov, sites : paths of the JSON files of the analyses; ``sites`` is
        a list of one, or empty for a system without known sites.
    trajectories : paths of the trajectory stores.
    summary : path to write.
    name, system : the system and its whole configuration.
    """
    choice, koopman, test = (read_json(path) for path in (choice, koopman, chapman_kolmogorov))
    numbers = {
        "system": name,
        "description": system.description,
        "n_states": koopman["n_states"],
        "lag_ps": koopman["lag_ps"],
        **_twin("populations", koopman["populations"]),
        "timescales_ps": koopman["timescales_ps"],
        **_twin("koopman", koopman["koopman"]),
        **_twin("stationary_distribution", koopman["stationary_distribution"]),
        **_twin("koopman_reversible", koopman["reversible"]),
        **_twin("timescales_reversible_ps", koopman["reversible_timescales_ps"]),
        **_twin("lifetimes_ps", koopman["lifetimes_ps"]),
        **_twin("first_passage_ps", koopman["first_passage_ps"]),
        **_twin("purity", koopman["purity"]),
        "vamp2": koopman["vamp2"],
        "ck_max_deviation": test["max_deviation"],
        "ck_passed": test["passed"],
        "seeds": {key: choice["seeds"][key] for key in ("tried", "agreeing")},
        "choice": {key: choice[key] for key in ("trial", "seed", "reason")},
        "training": choice["training"],
    }
    for path in sites:
        numbers |= _of_sites(read_json(path))
    provenance, notes = [], []
    for path in trajectories:
        with TrajectoryStore.open(path) as store:
            notes += store.notes
            provenance.append(
                {
                    "source": store.source,
                    "checksum": store.checksum,
                    "frames": len(store),
                    "segments": len(np.unique(store.segment)),
                    "unwrapped": store.unwrapped,
                }
            )
    numbers |= {
        "intervals": koopman["intervals"],
        "warnings": koopman["warnings"] + _further_warnings(test, choice["seeds"]) + choice["problems"] + notes,
        "units": UNITS,
        "provenance": {
            "version": gdyn.__version__,
            "config": settings_checksum(system.model_dump()),
            "trajectories": provenance,
            "seed": choice["seed"],
        },
    }
    slowest = koopman["timescales_ps"][0]
    LOG.info(
        "%d states at a lag of %g ps: populations %s, slowest timescale %s ps (%s to %s), Chapman-Kolmogorov test %s",
        koopman["n_states"],
        koopman["lag_ps"],
        " ".join(f"{p:.3f}" for p in koopman["populations"]["value"]),
        *("?" if slowest[key] is None else f"{slowest[key]:.1f}" for key in ("value", "low", "high")),
        "passed" if test["passed"] else "NOT passed",
    )
    for sentence in numbers["warnings"]:
        LOG.warning("%s", sentence)
    write_json(summary, numbers)


def _twin(name, found):
    return {name: found["value"], f"{name}_interval": {"low": found["low"], "high": found["high"]}}


def _of_sites(sites):
    found = {
        "sites": {
            "types": list(sites["sites"]),
            "type_of_state": sites["site_type_of_state"],
            "agreement": sites["agreement"],
            **_twin("populations", sites["populations"]),
            **_twin("timescales_ps", sites["timescales_ps"]),
        }
    }
    if sites["global"]:
        rebuilt = sites["global"]
        slowest = {
            "local_timescale_ps": rebuilt["local"],
            "reconstructed_timescale_ps": rebuilt["matrix"],
            "reconstructed_generator_timescale_ps": rebuilt["generator"],
        }
        found["global"] = {}
        for name, timescales in slowest.items():
            found["global"] |= _twin(name, {part: values[0] for part, values in timescales.items()})
        # The slowest process of the network is as many times degenerate as the rebuilt one is.
        values = np.array(rebuilt["matrix"]["value"], dtype=float)
        degenerate = max(1, int(np.isclose(values, values[0], rtol=1e-3).sum()))
        found["global"] |= _twin(
            "observed_timescales_ps", {part: values[:degenerate] for part, values in rebuilt["observed"].items()}
        )
    return found


def _further_warnings(test, seeds):
    sentences = []
    if not test["passed"]:
        sentences.append(
            f"the Chapman-Kolmogorov test is not passed (largest deviation {test['max_deviation']:.3f}): "
            f"at this lag time and number of states the dynamics is not Markovian"
        )
    if 2 * seeds["agreeing"] < seeds["tried"]:
        sentences.append(
            f"only {seeds['agreeing']} of {seeds['tried']} seeds ended with the same states: "
            f"they may not be the only answer"
        )
    return sentences
