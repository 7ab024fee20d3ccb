"""The verdict on page one: a line for each question that a reader of the numbers should ask."""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from gdyn.kinetics.events import FEW
from gdyn.result import Result

if TYPE_CHECKING:
    from gdyn.kinetics.chapman_kolmogorov import ChapmanKolmogorov
    from gdyn.kinetics.model import KoopmanModel
    from gdyn.selection import Choice

Colour = Literal["green", "amber", "red", "cannot say"]


class Line(NamedTuple):
    """A question, its answer, and why."""

    question: str
    answer: Colour
    reason: str


def verdict_of(results: dict[str, Result]) -> list[Line]:
    """The verdict on a system, from the results of its analyses; questions whose analysis there is not are left out."""
    lines: list[Line] = []
    known: dict[str, Any] = dict(results)
    if "koopman" in known:
        lines.append(are_there_states(known["koopman"]))
    if "select" in known:
        lines.append(how_many(known["select"]))
    if "chapman_kolmogorov" in known:
        lines.append(is_it_markovian(known["chapman_kolmogorov"]))
    if "koopman" in known:
        lines += [has_it_converged(known["koopman"]), is_it_stationary(known["koopman"])]
    if "select" in known:
        lines.append(do_seeds_agree(known["select"]))
    if "koopman" in known:
        lines += [are_there_enough_transitions(known["koopman"]), is_it_learned_by_heart(known["koopman"])]
    return lines


def are_there_states(model: "KoopmanModel") -> Line:
    """Whether any process is resolved, and the score is above that of noise."""
    question, test = "Are there states?", model.vamp2.test
    score = f"the VAMP-2 score of the test frames is {test}, where noise has {test.noise_floor:.2g}"
    resolved = sum(process.resolved for process in model.timescales_ps)
    if not resolved:
        return Line(question, "red", f"no process is resolved at a lag time of {model.lag_ps:g} ps; {score}")
    if not test.value >= 3 * test.noise_floor:
        return Line(question, "red", score)
    number = len(model.timescales_ps)
    colour: Colour = "amber" if resolved < number else "green"
    return Line(question, colour, f"processes that are resolved: {resolved} of {number}; {score}")


def how_many(choice: "Choice") -> Line:
    """Whether every state adds a process, and a larger number would not."""
    question = f"Are there {choice.n_states}?"
    at_lag = [c for c in choice.candidates if c.lag_ps == choice.lag_ps]
    chosen = next((c for c in at_lag if c.n_states == choice.n_states), None)
    if chosen is None:
        return Line(question, "cannot say", "the choice does not say")
    if not chosen.added:
        return Line(question, "red", chosen.because)
    more = [c for c in at_lag if c.n_states > choice.n_states]
    adding = next((c for c in more if c.added), None)
    if adding:
        return Line(question, "amber", f"{choice.n_states} were asked for, but {adding.because}")
    if choice.more_may_be or not more:
        tried = "no larger number was tried" if len(at_lag) > 1 else "no other number was tried"
        return Line(question, "amber", f"there may be more: {tried}")
    return Line(question, "green", f"{chosen.because}; {more[0].because}")


def is_it_markovian(test: "ChapmanKolmogorov") -> Line:
    """What the Chapman-Kolmogorov test says."""
    question = "Is it Markovian at this lag time?"
    if test.outcome == "cannot say":
        return Line(question, "cannot say", test.reason or "")
    if test.outcome == "fails":
        return Line(question, "red", test.effect)
    return Line(question, "green", test.power)


def has_it_converged(model: "KoopmanModel") -> Line:
    """Whether the slowest timescale stays the same at longer lag times."""
    question, found = "Have the timescales converged?", model.convergence
    if found is None or not found.processes:
        return Line(question, "cannot say", "no process is resolved")
    rising = next((rise for rise in found.processes if rise.outcome == "rising"), None)
    if rising:
        following = f"; try a lag time of {found.next_lag_ps:g} ps" if np.isfinite(found.next_lag_ps) else ""
        return Line(question, "red", rising.verdict.removeprefix("not converged: ") + following)
    slowest = found.processes[0]
    said = slowest.verdict.removeprefix("converged: ").removeprefix("cannot say whether it is converged: ")
    return Line(question, "green" if slowest.outcome == "converged" else "cannot say", said)


def is_it_stationary(model: "KoopmanModel") -> Line:
    """Whether populations stay the same, and targets are alike."""
    question, found = "Is it stationary?", model.stationarity
    if found is None:
        return Line(question, "cannot say", "it was not looked at")
    colours: dict[str, Colour] = {"stationary": "green", "not stationary": "red", "cannot say": "cannot say"}
    beside = [*found.driven, *found.slower, *found.collective]
    colour = colours[found.outcome]
    return Line(question, "amber" if colour == "green" and beside else colour, "; ".join([found.reason, *beside]))


def do_seeds_agree(choice: "Choice") -> Line:
    """Whether trainings from other random seeds end with the same states."""
    question, seeds = "Do the seeds agree?", choice.seeds
    if seeds.tried < 2:
        return Line(question, "cannot say", "only one was trained")
    reason = f"{seeds.agreeing} of {seeds.tried} have the same states, and timescales within their errors"
    share = seeds.agreeing / seeds.tried
    return Line(question, "green" if share > 0.75 else ("amber" if share >= 0.5 else "red"), reason)


def are_there_enough_transitions(model: "KoopmanModel") -> Line:
    """Whether every resolved process was seen often enough, both ways."""
    question = "Are there enough transitions?"
    seen = [
        (min(one["forward"], one["backward"]), number, one)
        for number, (process, one) in enumerate(zip(model.timescales_ps, model.transitions, strict=True), start=1)
        if process.resolved
    ]
    if not seen:
        return Line(question, "cannot say", "no process is resolved")
    least, number, one = min(seen, key=lambda item: item[0])
    reason = f"process {number} was seen {one['forward']} times one way and {one['backward']} times back"
    return Line(question, "green" if least >= FEW else ("amber" if least else "red"), reason)


def is_it_learned_by_heart(model: "KoopmanModel") -> Line:
    """Whether the score is the same on frames that were not trained on."""
    question, train, test = "Is it as good on new frames?", model.vamp2.train, model.vamp2.test
    if train is None:
        return Line(question, "cannot say", "the frames that it was trained on are not there")
    reason = f"VAMP-2 score {train} on the training frames, {test} on the test frames"
    heart = any("by heart" in sentence for sentence in model.flags.get("vamp2", []))
    return Line(question, "amber" if heart else "green", reason)
