"""summary.json: every number of a system's report."""

from itertools import chain

import numpy as np

import gdyn
from gdyn import rounding
from gdyn.files import read_json, write_json
from gdyn.logs import LOG
from gdyn.provenance import settings_checksum
from gdyn.store import TrajectoryStore

WEAK = 0.2  # of probabilities, that a Chapman-Kolmogorov test would not see

# Of every number in a summary; those that are counted or set have no interval.
UNITS = {
    "n_states": "1, set",
    "lag_ps": "ps, set",
    "planned_ps": "ps, set, and counted",
    "populations": "1",
    "populations_assigned": "1",
    "purity": "1",
    "timescales_ps": "ps",
    "transitions": "1, counted",
    "koopman": "1, probability per lag time",
    "koopman_reversible": "1, probability per lag time",
    "timescales_reversible_ps": "ps",
    "lifetimes_ps": "ps",
    "counted_lifetimes_ps": "ps",
    "first_passage_ps": "ps, from row to column",
    "stationary_distribution": "1",
    "pcca": "1",
    "vamp2": "1",
    "ck_max_deviation": "1, probability",
    "ck": "in words",
    "seeds": "1, counted",
    "seeds.timescales_ps": "ps",
    "sites": "1",
    "sites.timescales_ps": "ps",
    "global": "ps",
    "global.local": "as of the same keys above",
    "global.vampnets": "as of the same keys above",
    "structure": "1, atoms",
    "structure.first_shell_A": "A, set or found",
    "transport.collective.transference": "1",
    "by_trajectory": "as of the same keys above",
    "by_trajectory.frames": "1, counted",
    "order_parameter": "1",
    "transport": "as the names of the keys say; percent of the sum, charges in e",
    "transport.transference": "1",
    "training.wall_s": "s, measured",
    "training.frames_per_s": "1/s, measured",
    "training.epochs": "1, counted",
    "intervals.blocks": "1, counted",
    "intervals.block_ps": "ps, counted",
}


def summarise(
    choice,
    koopman,
    chapman_kolmogorov,
    sites,
    cell,
    structure,
    order,
    several,
    transport,
    trajectories,
    summary,
    name,
    system,
):
    """Gather the numbers of all analyses.

    A number ``x`` that has a 95 % interval has a twin ``x_interval`` with ``low`` and ``high`` of the same
    shape; timescales carry theirs with them. ``units`` has the unit of each, and ``flags`` says of those that are not
    to be trusted why; ``warnings`` are all these sentences.

    Parameters
    ----------
    choice, koopman, chapman_kolmogorov : paths of the JSON files of the analyses.
    sites, cell, structure, order, several, transport : likewise, but lists of one, or empty for a system without this
        analysis.
    trajectories : paths of the trajectory stores.
    summary : path to write.
    name, system : the system and its whole configuration.
    """
    choice, koopman, test = (read_json(path) for path in (choice, koopman, chapman_kolmogorov))
    scores = {split: koopman["vamp2"][split] for split in ("train", "validation", "test")}
    numbers = {
        "system": name,
        "description": system.description,
        "n_states": koopman["n_states"],
        "lag_ps": koopman["lag_ps"],
        **_twin("populations", koopman["populations"]),
        **_twin("populations_assigned", koopman["populations_assigned"]),
        "timescales_ps": koopman["timescales_ps"],
        "transitions": koopman["transitions"],
        **_twin("koopman", koopman["koopman"]),
        **_twin("stationary_distribution", koopman["stationary_distribution"]),
        **_twin("koopman_reversible", koopman["reversible"]),
        **_twin("timescales_reversible_ps", koopman["reversible_timescales_ps"]),
        **_twin("lifetimes_ps", koopman["lifetimes_ps"]),
        **_twin("counted_lifetimes_ps", koopman["counted_lifetimes_ps"]),
        "rates_from": koopman["rates_from"],
        **_twin("first_passage_ps", koopman["first_passage_ps"]),
        **_twin("purity", koopman["purity"]),
        "pcca": koopman["pcca"]
        and {**_twin("populations", koopman["pcca"]["populations"]), **_twin("koopman", koopman["pcca"]["koopman"])},
        "vamp2": {split: found["value"] for split, found in scores.items()}
        | {"noise_floor": scores["test"]["noise_floor"], "convention": koopman["vamp2"]["convention"]},
        "vamp2_interval": {part: {split: found[part] for split, found in scores.items()} for part in ("low", "high")},
        **_twin("ck_max_deviation", test["max_deviation"]),
        "ck_passed": test["passed"],
        "ck": {name: test[name] for name in ("outcome", "reason")},
        "seeds": _of_seeds(choice["seeds"]),
        "applied": system.apply,
        "choice": {key: choice[key] for key in ("trial", "seed", "reason")},
        "training": choice["training"],
    }
    flags = koopman["flags"] | _further_flags(test, choice)
    for path in sites:
        numbers["sites"] = _of_sites(read_json(path))
    further = (
        ("global", cell, _of_cell),
        ("structure", structure, _of_structure),
        ("by_trajectory", several, lambda found: [_of_trajectory(one) for one in found["trajectories"]]),
        ("order_parameter", order, _of_order),
        ("transport", transport, _of_transport),
    )
    for name, paths, form in further:
        for path in paths:
            found = read_json(path)
            numbers[name] = form(found)
            flags |= {name: found["flags"]} if found["flags"] else {}
    provenance, notes, reached_ps = [], [], []
    for path in trajectories:
        with TrajectoryStore.open(path) as store:
            notes += store.notes
            reached_ps.append(float(store.time_ps[-1] - store.time_ps[0]))
            provenance.append(
                {
                    "source": store.source,
                    "checksum": store.checksum,
                    "frames": len(store),
                    "segments": len(np.unique(store.segment)),
                    "unwrapped": store.unwrapped,
                }
            )
    flags |= {"provenance": notes} if notes else {}
    planned_ps = system.trajectory.planned_ps
    if planned_ps:
        not_begun = system.trajectory.not_begun
        numbers["planned_ps"] = {"length_ps": planned_ps, "reached_ps": reached_ps, "not_begun": not_begun}
        if not_begun or min(reached_ps) < planned_ps - 0.5 * system.trajectory.frame_interval_ps:
            flags = {"planned_ps": [_not_yet(planned_ps, reached_ps, system.labels, not_begun)]} | flags
    numbers |= {
        "intervals": koopman["intervals"],
        "flags": flags,
        "warnings": list(chain.from_iterable(flags.values())),
        "units": UNITS,
        "provenance": {
            "version": gdyn.__version__,
            "config": settings_checksum(system.model_dump()),
            "trajectories": provenance,
            "seed": choice["seed"],
        },
    }
    LOG.info(
        "%d states at a lag of %g ps: populations %s, slowest timescale %s, Chapman-Kolmogorov test %s",
        koopman["n_states"],
        koopman["lag_ps"],
        " ".join("?" if p is None else f"{p:.3f}" for p in koopman["populations"]["value"]),
        rounding.process_time(koopman["timescales_ps"][0]),
        verdict(test),
    )
    for sentence in numbers["warnings"]:
        LOG.warning("%s", sentence)
    write_json(summary, numbers)


def _not_yet(planned_ps, reached_ps, labels, not_begun):
    far = "; ".join(f"{label}: {reached:g}" for label, reached in zip(labels, reached_ps, strict=True))
    nothing = f"; as good as nothing of {', '.join(not_begun)}" if not_begun else ""
    return (
        f"these are results of trajectories that are still being written: of {planned_ps:g} ps each there were, in ps, "
        f"{far}{nothing}; they change with what comes"
    )


def _twin(name, found):
    return {name: found["value"], f"{name}_interval": {"low": found["low"], "high": found["high"]}}


def _of_seeds(seeds):
    """How far the seeds are apart on the validation frames: of each, in their order."""
    each = seeds["each"]
    return {
        "tried": seeds["tried"],
        "agreeing": seeds["agreeing"],
        "timescales_ps": [row["timescale_ps"] for row in each],
        "populations": [row["populations"] for row in each],
        "least_overlap": [_least(row["overlap"]) for row in each],
        "together": seeds["together"]
        and {
            "populations": seeds["together"]["populations"],
            "least_overlap": [_least(row["overlap_together"]) for row in each],
        },
    }


def _least(overlaps):
    """The least of several; none where one is not known, as of a state that is in no frame of either."""
    return None if None in overlaps else min(overlaps)


def _of_sites(sites):
    return {
        "types": list(sites["sites"]),
        "type_of_state": sites["site_type_of_state"],
        **_twin("agreement", sites["agreement"]),
        **_twin("populations", sites["populations"]),
        **_twin("timescales_ps", sites["timescales_ps"]),
    }


def _of_cell(cell):
    """The dynamics on all sites of the cell; a form that could not be rebuilt has no numbers."""
    nothing = {"value": None, "low": None, "high": None}
    local = cell["local"]
    found = _twin("local_timescale_ps", local["timescales_ps"][0]) | {"local": _of_model(local)}
    for form, name in (("matrix", "reconstructed"), ("generator", "reconstructed_generator")):
        rebuilt = (cell["rebuilt"] or {}).get(form)
        found |= _twin(f"{name}_timescale_ps", rebuilt["slowest_ps"] if rebuilt else nothing)
        found[f"{name}_agrees"] = rebuilt["agrees"] if rebuilt else None
    alike = cell["degenerate"]
    observed = cell["observed"]
    return (
        found
        | _twin("observed_timescales_ps", {part: x[:alike] for part, x in observed["timescales_ps"].items()})
        | _twin("observed_timescale_ps", observed["slowest_ps"])
        | {"vampnets": {str(len(net["populations"])): _of_model(net) for net in cell["vampnets"]}}
    )


def _of_model(model):
    found = {
        "lag_ps": model["lag_ps"],
        **_twin("vamp2", model["vamp2"]),
        "noise_floor": model["vamp2"]["noise_floor"],
        **_tested(model),
        "assigned": _tested(model["assigned"]),
    }
    if "slowest_ps" in model:
        found |= _twin("timescale_ps", model["slowest_ps"]) | {"agrees": model["agrees"]}
    return found


def _tested(model):
    test = model["test"]
    return {
        "timescales_ps": model["timescales_ps"],
        **_twin("ck_max_deviation", test["max_deviation"]),
        "ck_passed": test["passed"],
        "ck": {name: test[name] for name in ("outcome", "reason")},
    }


def verdict(test):
    """What a Chapman-Kolmogorov test says, in words."""
    if test["outcome"] == "cannot say":
        return f"cannot say: {test['reason']}"
    passed = "passed" if test["outcome"] == "holds" else "NOT passed"
    return f"{passed}, largest deviation {test['max_deviation']['value']:.3f}"


def _of_structure(structure):
    return {
        "first_shell_A": structure["first_shell_A"],
        "coordinating": structure["coordinating"],
        "coordination": {group: found["value"] for group, found in structure["coordination"].items()},
        "coordination_interval": {
            part: {group: found[part] for group, found in structure["coordination"].items()} for part in ("low", "high")
        },
    }


def _of_trajectory(one):
    found = {name: one[name] for name in ("label", "frames", "timescales_ps")}
    return found | _twin("populations", one["populations"]) | _twin("koopman", one["koopman"])


def _of_order(order):
    found = {name: order[name] for name in ("degree", "neighbors", "threshold", "ordered")}
    for name in ("mean", "disagreement", "disagreement_by_state"):
        found |= _twin(name, order[name])
    return found


def _of_transport(transport):
    nothing = {"value": None, "low": None, "high": None}
    found = {name: transport[name] for name in ("msd_closure_residual", "msd_closure_residual_paper", "msd_exponent")}
    for name in (
        "diffusion_m2_per_s",
        "contribution_percent",
        "contribution_percent_paper",
        "charges_e",
        "conductivity_S_per_m",
        "tracer_diffusion_m2_per_s",
        "conductivity_nernst_einstein_S_per_m",
        "conductivity_einstein_S_per_m",
        "transference",
    ):
        found |= _twin(name, transport[name] or nothing)
    frames = {name: x or nothing for name, x in transport["collective"]["transference"].items()}
    by_frame = {part: {name: x[part] for name, x in frames.items()} for part in ("value", "low", "high")}
    return found | {"collective": _twin("transference", by_frame)}


def _further_flags(test, choice):
    flags, seeds = {}, choice["seeds"]
    if test["outcome"] == "cannot say":
        reason = test["reason"].replace("the Chapman-Kolmogorov test needs", "it needs")
        flags["ck"] = [f"the Chapman-Kolmogorov test cannot say whether the states are Markovian: {reason}"]
    elif not test["passed"]:
        flags["ck_max_deviation"] = [
            f"the Chapman-Kolmogorov test is not passed (largest deviation {test['max_deviation']['value']:.3f}): "
            f"at this lag time and number of states the dynamics is not Markovian"
        ]
    elif (test["unseen"] or 0.0) > WEAK:
        flags["ck_max_deviation"] = [
            f"the Chapman-Kolmogorov test says little: its intervals are so wide that it would have passed with "
            f"deviations up to {test['unseen']:.2g}"
        ]
    if 2 * seeds["agreeing"] < seeds["tried"] > 1:
        flags["seeds"] = [
            f"only {seeds['agreeing']} of {seeds['tried']} seeds ended with the same states: "
            f"they may not be the only answer"
        ]
    if choice["problems"]:
        flags["training"] = choice["problems"]
    return flags
