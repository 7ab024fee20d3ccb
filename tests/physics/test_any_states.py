"""Whatever states a model gives, there is a report, and no number in it is absurd without a word beside it.

Examples are made by hypothesis; ``make fuzz`` runs 2000 of them, GDYN_FUZZ=N any other number.
"""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers import markov_chain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from worlds import report

EXAMPLES = int(os.environ.get("GDYN_FUZZ", "25"))
PROBABILITIES = ("populations", "populations_assigned", "koopman_reversible", "purity")
POSITIVE = ("lifetimes_ps", "counted_lifetimes_ps", "first_passage_ps", "timescales_reversible_ps")


def empty(p, rng):
    p[..., -1] = 0.0


def constant(p, rng):
    p[:] = 1.0 / p.shape[-1]


def nearly_constant(p, rng):
    p[:] = 1.0 / p.shape[-1] + 1e-8 * rng.standard_normal(p.shape)


def one_constant(p, rng):
    p[..., 0] = 0.3 * p.sum(-1)


def identical(p, rng):
    p[..., 0] = p[..., 1]


def nearly_identical(p, rng):
    p[..., 0] = p[..., 1] * (1 + 1e-6 * rng.standard_normal(p.shape[:-1]))


def seen_once(p, rng):
    p[..., 0] = 0.0
    p[rng.integers(len(p)), 0] = np.eye(p.shape[-1])[0]


def never_left(p, rng):
    p[len(p) // 2 :] = np.eye(p.shape[-1])[-1]


def block_without(p, rng):
    p[: len(p) // 5, :, 0] = 0.0


def frozen(p, rng):
    p[:] = p[:1]


def alternating(p, rng):
    p[:] = np.eye(p.shape[-1])[np.arange(len(p)) % p.shape[-1]][:, None]


def soft(p, rng):
    p += 0.5


def rare(p, rng):
    p[..., 0] *= 1e-3


def absent(p, rng):
    p[: len(p) // 2, -1] = np.nan


def noise(p, rng):
    p[:] = rng.dirichlet(np.ones(p.shape[-1]), p.shape[:-1])


DEFECTS = (
    empty, constant, nearly_constant, one_constant, identical, nearly_identical, seen_once, never_left, block_without,
    frozen, alternating, soft, rare, absent, noise,
)  # fmt: skip


@st.composite
def worlds(draw):
    """Probabilities of one or two trajectories, and a lag."""
    n_states, n_targets = draw(st.integers(2, 5)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    sticky = draw(st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.9999]))
    transition = sticky * np.eye(n_states) + (1 - sticky) * rng.dirichlet(np.ones(n_states), n_states)
    defects = draw(st.lists(st.sampled_from(DEFECTS), max_size=3))
    parts = []
    for n_frames in draw(st.lists(st.sampled_from([1, 2, 3, 11, 60, 400]), min_size=1, max_size=2)):
        p = np.eye(n_states)[markov_chain(transition, n_frames, rng, n_targets)]
        for defect in defects:
            defect(p, rng)
        p = np.abs(p)
        total = p.sum(-1, keepdims=True)
        p = np.where(total > 0, p / np.where(total > 0, total, 1.0), 1.0 / n_states)
        parts.append(p)
    return (
        parts,
        draw(st.sampled_from([1.0, 2.0, 10.0])),
        draw(st.integers(0, 9)) == 0,
        [defect.__name__ for defect in defects],
    )


def inside(summary, key, least, greatest):
    """Values and intervals of a number keep their bounds, and intervals their order."""
    value = np.array(summary[key], float)
    low, high = (np.array(summary[f"{key}_interval"][part], float) for part in ("low", "high"))
    for found in (value, low, high):
        known = found[np.isfinite(found)]
        assert ((known >= least - 1e-6) & (known <= greatest + 1e-6)).all(), (key, found)
    both = np.isfinite(low) & np.isfinite(high)
    assert (low[both] <= high[both]).all(), key


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 25,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(worlds())
def test_whatever_the_states_are_there_is_a_report(world):
    parts, lag_ps, drawn, _ = world
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # A target that is away in all frames is told by hypothesis alone.
        folder = Path(folder)
        moving = [np.cumsum(0.1 * np.random.default_rng(0).standard_normal((*p.shape[:2], 3)), axis=0) for p in parts]
        summary = report(folder, parts, lag_ps, moving, figures=drawn)
        pages = (folder / "report.txt").read_text()
        if drawn:
            pages += " ".join(page.extract_text() for page in PdfReader(folder / "report.pdf").pages)
    assert not {"nan", "inf", "None"} & set(pages.replace("(", " ").replace(")", " ").split())
    for key in PROBABILITIES:
        inside(summary, key, 0.0, 1.0)
    for key in POSITIVE:
        inside(summary, key, 0.0, np.inf)
    assert all(0.0 <= summary["vamp2"][split] <= summary["n_states"] - 1 for split in ("train", "validation", "test"))
    longest = 100.0 * sum(map(len, parts))
    for number, process in enumerate(summary["timescales_ps"], start=1):
        if process["resolved"]:
            assert lag_ps < process["low"] <= process["value"] <= process["high"]
            assert process["value"] <= longest
        else:
            assert any(f"process {number} is not resolved" in sentence for sentence in summary["warnings"]) or any(
                "do not determine a Koopman matrix" in sentence for sentence in summary["warnings"]
            )
    for state, value in enumerate(summary["lifetimes_ps"], start=1):
        if value is None or value > longest:
            assert any(
                f"the mean time in state {state} is not resolved" in sentence for sentence in summary["warnings"]
            )
    assert summary["ck"]["outcome"] in ("holds", "fails", "cannot say")
    assert summary["ck_passed"] == (summary["ck"]["outcome"] == "holds")
    transport = summary["transport"]
    for key in ("contribution_percent", "diffusion_m2_per_s"):
        inside(transport, key, 0.0, 100.0 if "percent" in key else np.inf)


def test_states_of_which_nothing_is_wrong_are_not_doubted(tmp_path):
    """The same checks would pass if everything were always called unresolved."""
    transition = np.array([[0.97, 0.03], [0.06, 0.94]])
    parts = [np.eye(2)[markov_chain(transition, 4000, np.random.default_rng(1), 4)]]
    moving = [np.cumsum(0.1 * np.random.default_rng(0).standard_normal((4000, 4, 3)), axis=0)]
    summary = report(tmp_path, parts, 2.0, moving, figures=False)
    assert summary["timescales_ps"][0]["resolved"]
    assert summary["ck"]["outcome"] == "holds"
    assert summary["rates_from"] == "generator"
    assert summary["timescales_ps"][0]["value"] == pytest.approx(-1 / np.log(0.91), rel=0.2)
    assert not [s for s in summary["warnings"] if "not resolved" in s or "Koopman" in s or "mean time" in s]


@pytest.mark.parametrize("n_states", [2, 4])
def test_where_nothing_moves_it_is_said(tmp_path, n_states):
    """No timescale of any length, no test that was passed, no figure that fails."""
    frozen = np.eye(n_states)[np.broadcast_to(np.arange(5) % 2, (230, 5))]
    summary = report(tmp_path, [frozen], 2.0)
    assert not any(process["resolved"] for process in summary["timescales_ps"])
    assert all((process["value"] or 0.0) < 100 * 230 for process in summary["timescales_ps"])
    assert summary["ck"]["outcome"] == "cannot say"
    assert not summary["ck_passed"]
    text = " ".join(page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages)
    assert "passed, largest deviation" not in text
    assert " to , " not in text
