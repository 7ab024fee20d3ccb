"""When stages of a training end, and how fast it goes: by plain numbers."""

import subprocess
import sys

import numpy as np
import pytest

from gdyn.config.models import Training
from gdyn.config.schemes import Stage
from gdyn.training.schedule import LEAST_CRISPNESS, LEAST_IMPROVEMENT, Rules, Schedule, Turn

STAGES = (Stage("kinetics"), Stage("states", crisp=True, rotated=True, learning_rate=0.2))
FAR = 1.0  # from the highest score


def schedule(stages=STAGES, **changes):
    settings = {
        "learning_rate": 0.01,
        "patience": 2,
        "max_epochs": 10,
        "learning_rate_drops": 1,
        "crispness": 0.1,
        "timescale_loss": 0.03,
    }
    return Schedule(Rules(stages, **settings | changes))


def after(plan, *values):
    """What follows each of some epochs."""
    turns = []
    for value in values:
        plan.count(value, FAR)
        turns.append(plan.turn())
    return turns


def test_it_needs_no_torch():
    code = "import sys, gdyn.training.schedule; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_epochs_without_a_better_one_lower_the_learning_rate_and_then_end_the_stage():
    plan = schedule()
    assert after(plan, 0.5, 0.5, 0.5) == [Turn.ON, Turn.ON, Turn.BACK]
    assert plan.learning_rate == pytest.approx(0.003)
    assert after(plan, 0.4, 0.6, 0.6, 0.6) == [Turn.ON, Turn.ON, Turn.ON, Turn.NEXT]
    assert (plan.present.name, plan.epochs, plan.stale, plan.drops, plan.best) == ("states", 0, 0, 0, None)
    assert plan.learning_rate == pytest.approx(0.2 * 0.01)
    assert plan.unconverged == []


def test_a_stage_that_was_still_improving_at_its_end_is_named():
    plan = schedule(max_epochs=3)
    assert after(plan, 0.1, 0.2, 0.3) == [Turn.ON, Turn.ON, Turn.NEXT]
    assert after(plan, 0.3, 0.2, 0.1) == [Turn.ON, Turn.ON, Turn.NEXT]
    assert plan.over
    assert plan.unconverged == ["kinetics"]


def test_the_best_epoch_may_be_too_little_better_to_count_as_an_improvement():
    plan = schedule()
    assert plan.count(0.5, FAR)
    assert plan.count(0.5 + 0.5 * LEAST_IMPROVEMENT, FAR)
    assert plan.stale == 1
    # Near to the highest score, less is an improvement.
    assert plan.count(0.5 + 0.7 * LEAST_IMPROVEMENT, 1e-3)
    assert plan.stale == 0
    assert not plan.count(0.5, FAR)
    assert plan.epochs == 4


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_the_first_epoch_is_the_best_so_far_whatever_its_value(value):
    plan = schedule()
    assert plan.count(value, FAR)
    assert plan.stale == 1
    assert not plan.count(value, FAR)


def test_rotated_states_that_do_not_become_purer_are_asked_for_less():
    plan = schedule(learning_rate_drops=0, max_epochs=100)
    plan.begin(1)
    plan.reference, plan.best = [0.8], 1.2
    asked = [plan.crispness]
    while (turn := after(plan, 1.0, 1.0)[-1]) is Turn.BACK:
        asked.append(plan.crispness)
    assert turn is Turn.NEXT
    assert asked == pytest.approx([0.1, 0.03, 0.009, 0.0027, 0.00081])
    assert asked[-1] < LEAST_CRISPNESS * 0.1 < asked[-2]
    # Once they have become purer, patience ends the stage.
    plan.begin(1)
    plan.reference, plan.best = [0.8], 1.2
    assert after(plan, 1.3, 1.0, 1.0) == [Turn.ON, Turn.ON, Turn.NEXT]


def test_an_epoch_that_costs_too_much_of_a_timescale_is_not_allowed():
    plan = schedule(timescale_loss=0.1)
    assert plan.allows(np.array([0.1]))  # as nothing was rotated
    plan.reference = [0.9, 0.2]
    timescales = -1.0 / np.log(0.9)
    for part, allowed in ((0.95, True), (0.89, False)):
        assert plan.allows(np.array([np.exp(-1.0 / (part * timescales)), 0.2])) is allowed
    # A process that decays within a lag has no timescale to lose, but counts in the score.
    assert plan.allows(np.array([0.9, 0.0]))
    plan.reference = [0.5, 0.36]
    assert not plan.allows(np.array([0.5, 0.2]))


def test_recoveries_make_all_later_steps_smaller():
    plan = schedule()
    plan.recover()
    assert (plan.recoveries, plan.learning_rate) == (1, pytest.approx(0.003))
    plan.begin(1)
    assert plan.learning_rate == pytest.approx(0.2 * 0.003)
    assert plan.recoveries == 1


def test_epochs_that_are_left():
    plan = schedule()
    assert plan.epochs_left == 20
    after(plan, 0.1, 0.2)
    assert plan.epochs_left == 18
    plan.begin(1)
    assert plan.epochs_left == 10
    plan.begin(2)
    assert (plan.epochs_left, plan.over) == (0, True)


def test_shorter_epochs_are_as_many_more():
    training = Training(epoch_steps=25, patience=4, max_epochs=40)
    rules = Rules.of(training, 0.01, epoch_steps=10)
    assert (rules.patience, rules.max_epochs) == (10, 100)
    assert Rules.of(training, 0.01, epoch_steps=24).patience == 5
    assert [stage.name for stage in rules.stages] == ["kinetics", "states"]
