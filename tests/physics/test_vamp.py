"""The VAMP-2 score against deeptime, closed forms and finite differences."""

import numpy as np
import pytest
import torch
from deeptime.decomposition.deep import vamp_score
from helpers import markov_chain

from gdyn.config.schemes import Stage
from gdyn.statistics import Covariances, noise_floor, vamp2
from gdyn.statistics.covariance import RIDGE, ROUNDING
from gdyn.training.processes import World
from gdyn.training.sums import Sums
from gdyn.training.vamp import Moments, basis_of, crispness, derived, moments_of, objective, reversible_vamp1
from gdyn.training.vamp import vamp2 as vamp2_of

ALONE = World(torch.device("cpu"))


class Value(torch.autograd.Function):
    """A function of states at both ends of pairs, with the slope that training follows, as a step takes it."""

    @staticmethod
    def forward(ctx, x, y, stage, weight):
        n = len(x)
        states, ends = torch.cat([x, y]), torch.stack([torch.arange(n), n + torch.arange(n)], 1)
        sums = Sums(x.shape[1], 0, x.device)
        sums.begin(torch.zeros(2 * (x.shape[1] - 1), dtype=torch.float64))
        z = sums.add(states, ends)
        moments, _ = sums.read(ALONE)
        if not moments.precise:
            sums.begin(torch.from_numpy(moments.mean))
            z = sums.add(states, ends)
            moments, _ = sums.read(ALONE)
        value, slope = objective(stage, moments, weight)
        ctx.gradient = -sums.gradient(sums.send(slope), z, states, ends)
        return torch.tensor(value, dtype=torch.float64)

    @staticmethod
    def backward(ctx, gradient):
        of_x, of_y = gradient.to(ctx.gradient.dtype) * ctx.gradient.view(2, -1, ctx.gradient.shape[1])
        return of_x, of_y, None, None


def value_of(x, y, stage, weight=0.0):
    return Value.apply(x, y, stage, weight)


def vamp2_torch(x, y):
    return value_of(x, y, Stage("kinetics"))


def moments(x, y):
    """Of all pairs, about their mean."""
    basis = torch.from_numpy(basis_of(x.shape[1]))
    z = torch.cat([x.double() @ basis, y.double() @ basis], 1)
    return moments_about(z, z.mean(0))


def moments_about(z, centre):
    away = (z - centre).numpy()
    return Moments(float(len(z)), away.sum(0), away.T @ away, centre.numpy())


def of_covariances(function, moments):
    """A score of moments about their mean."""
    return function(moments.mean, moments.second / max(moments.pairs, 1.0)).value


def pairs(n_states, n=4000, seed=0, sharp=2.0):
    """Correlated soft memberships at t and t + lag."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((n, n_states))
    second = 0.8 * first + 0.6 * rng.standard_normal((n, n_states))
    return tuple(torch.softmax(torch.as_tensor(sharp * z), dim=1) for z in (first, second))


@pytest.mark.parametrize("n_states", [2, 3, 4, 7])
def test_against_deeptime(n_states):
    x, y = pairs(n_states)
    ours = float(vamp2_torch(x, y))
    # deeptime's score keeps the constant process; our ridge lowers a score by a few 1e-6 of it.
    peer = float(vamp_score(x, y, method="VAMP2", epsilon=1e-12, mode="trunc")) - 1.0
    assert ours == pytest.approx(peer, rel=2e-5)


def whole_set(x, y):
    """The numpy score of the same pairs, by way of covariances."""
    x, y = x.numpy(), y.numpy()
    n = len(x)
    return vamp2(Covariances.of(np.concatenate([x, y])[:, None], np.zeros(2 * n, int), n))


@pytest.mark.parametrize("n_states", [2, 3, 5])
def test_torch_and_numpy_agree(n_states):
    x, y = pairs(n_states)
    assert float(vamp2_torch(x, y)) == pytest.approx(whole_set(x, y), rel=1e-10)


def test_means_kept_score_is_larger_by_one():
    x, y = pairs(3)
    c00, c01, c11 = (a.T @ b / len(x) for a, b in ((x, x), (x, y), (y, y)))
    with_means = float(torch.trace(torch.linalg.solve(c00, c01) @ torch.linalg.solve(c11, c01.T)))
    assert float(vamp2_torch(x, y)) + 1.0 == pytest.approx(with_means, rel=1e-5)


def test_hard_chain_reaches_the_closed_form():
    transition = np.array([[0.95, 0.05], [0.10, 0.90]])
    labels = markov_chain(transition, 200_000, np.random.default_rng(1), 5)
    chi = np.eye(2)[labels]
    c = Covariances.of(chi, np.zeros(len(labels), int), 1)
    # A reversible two-state chain has one singular value, its eigenvalue 1 - 0.05 - 0.10.
    assert vamp2(c) == pytest.approx(0.85**2, abs=0.003)


def test_perfect_memory_scores_the_maximum():
    labels = torch.eye(4, dtype=torch.float64)[torch.arange(400) % 4]
    assert float(vamp2_torch(labels, labels)) == pytest.approx(3.0, rel=1e-5)


@pytest.mark.parametrize("collapse", ["constant", "first ends constant", "two alike", "empty", "nearly constant"])
def test_collapsed_outputs_have_a_finite_score_and_gradient(collapse):
    x, y = (z.clone() for z in pairs(3))
    truth = None
    if collapse == "constant":
        x[:], y[:] = 1 / 3, 1 / 3
        truth = 0.0
    if collapse == "first ends constant":
        x[:] = x[0]
        truth = 0.0
    if collapse == "two alike":
        for z in (x, y):
            z[:, 1:] = z[:, 1:].mean(1, keepdim=True)
        truth = float(vamp2_torch(*(torch.stack([z[:, 0], 1 - z[:, 0]], 1) for z in (x, y))))
    if collapse == "empty":
        for z in (x, y):
            z[:, 0] += z[:, 2]
            z[:, 2] = 0.0
        truth = float(vamp2_torch(x[:, :2], y[:, :2]))
    if collapse == "nearly constant":
        # Variations of 1e-6 carry the same information as they do at full size.
        truth = float(vamp2_torch(x, y))
        x, y = (1 / 3 + 1e-6 * (z - 1 / 3) for z in (x, y))
    x.requires_grad_(True)
    score = vamp2_torch(x, y)
    score.backward()
    assert float(score.detach()) == pytest.approx(truth, rel=1e-4, abs=1e-9)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "stage",
    [Stage("a"), Stage("b", crisp=True), Stage("c", score="reversible_vamp1"), Stage("d", "reversible_vamp1", True)],
)
@pytest.mark.parametrize("n_states", [2, 4])
def test_gradient_by_finite_differences(n_states, stage):
    logits_x, logits_y = (torch.log(z[:40]).requires_grad_(True) for z in pairs(n_states))

    def score(a, b):
        return value_of(torch.softmax(a, 1), torch.softmax(b, 1), stage, 0.7)

    assert torch.autograd.gradcheck(score, (logits_x, logits_y), eps=1e-6, atol=1e-6)


def test_gradient_on_a_degenerate_spectrum():
    """Where two singular values coincide, eigenvectors are arbitrary but the gradient is not."""
    cycle = torch.eye(3, dtype=torch.float64)
    x = cycle.repeat(20, 1) * 0.9 + 0.1 / 3
    logits = torch.log(x).requires_grad_(True)
    assert torch.autograd.gradcheck(
        lambda a: vamp2_torch(torch.softmax(a, 1), x[torch.arange(60) ^ 1]), logits, atol=1e-6
    )


def test_score_does_not_change_under_a_linear_map_of_the_states():
    x, y = pairs(3)
    mix = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.3, 0.5]], dtype=torch.float64)
    assert float(vamp2_torch(x @ mix, y @ mix)) == pytest.approx(float(vamp2_torch(x, y)), rel=1e-4)


@pytest.mark.parametrize("n_states", [2, 4])
def test_noise_floor_of_unrelated_features(n_states):
    rng = np.random.default_rng(2)
    scores = []
    for _ in range(300):
        x, y = (np.eye(n_states)[rng.integers(0, n_states, (500, 1))] for _ in range(2))
        scores.append(vamp2(Covariances.of(np.concatenate([x, y]), np.zeros(1000, int), 500)))
    # 500 pairs of independent draws.
    assert np.mean(scores) == pytest.approx(noise_floor(np.zeros(n_states - 1), 500, 1), rel=0.15)


def test_noise_floor_of_correlated_features():
    """Two chains that know nothing of each other seem related, the more so the slower they are."""
    rng = np.random.default_rng(3)
    transition = np.array([[0.95, 0.05], [0.05, 0.95]])
    n, scores = 2000, []
    x, y = (markov_chain(transition, n, rng, 400) for _ in range(2))
    for a, b in zip(x.T, y.T, strict=True):
        both = np.eye(2)[np.concatenate([a, b])][:, None]
        scores.append(vamp2(Covariances.of(both, np.zeros(2 * n, int), n)))
    assert np.mean(scores) == pytest.approx(noise_floor(np.array([0.9]), n, 1), rel=0.15)


def test_noise_floor_of_fast_processes_beside_slow_ones():
    """Only the slow ones have few independent pairs: one slow process does not make many fast ones worthless."""
    rng = np.random.default_rng(3)
    transition = np.array([[0.98, 0.01, 0.01], [0.01, 0.49, 0.5], [0.01, 0.5, 0.49]])
    n, scores = 2000, []
    x, y = (markov_chain(transition, n, rng, 300) for _ in range(2))
    for a, b in zip(x.T, y.T, strict=True):
        both = np.eye(3)[np.concatenate([a, b])][:, None]
        scores.append(vamp2(Covariances.of(both, np.zeros(2 * n, int), n)))
    assert np.mean(scores) == pytest.approx(noise_floor(np.array([0.97, 0.0]), n, 1), rel=0.15)


def test_moments_of_pieces_add_up():
    x, y = pairs(4)
    ends = torch.arange(2 * len(x)).view(2, -1).T
    states, sums = torch.cat([x, y]), Sums(4, 0, x.device)
    found = []
    for pieces in ([ends], ends.split(700)):
        sums.begin(torch.tensor([0.1, 0.0, -0.2, 0.3, 0.0, 0.1], dtype=torch.float64))
        for piece in pieces:
            sums.add(states, piece)
        found.append(sums.read(ALONE)[0])
    whole, together = found
    assert together.pairs == whole.pairs == len(x)
    for name in ("first", "second", "centre"):
        np.testing.assert_allclose(getattr(together, name), getattr(whole, name), rtol=1e-12)


def test_noise_floor_of_targets_that_never_change():
    """Unrelated labels of targets that keep them: the targets alone are independent."""
    rng = np.random.default_rng(4)
    scores = []
    for _ in range(300):
        both = np.eye(3)[rng.integers(0, 3, (2, 60))]
        c = Covariances.of(np.repeat(both, 50, axis=0), np.zeros(100, int), 50)
        scores.append(vamp2(c))
    assert c.walkers == 60
    assert np.mean(scores) == pytest.approx(noise_floor(np.array([1.0, 1.0]), c.samples, 50, c.walkers), rel=0.15)


@pytest.mark.parametrize("n_states", [2, 4])
def test_moments_of_a_whole_set_are_those_of_its_pairs(n_states):
    rng = np.random.default_rng(8)
    chi = rng.dirichlet(np.ones(n_states), (50, 3))
    chi[4:9, 1] = np.nan
    c = Covariances.of(chi, np.repeat([0, 1], 25), 2)
    x, y = (np.concatenate([chi[a : a + 23, t] for a in (d, 25 + d) for t in range(3)]) for d in (0, 2))
    both = ~(np.isnan(x[:, 0]) | np.isnan(y[:, 0]))
    expected, found = moments(torch.from_numpy(x[both]), torch.from_numpy(y[both])), moments_of(c)
    for name in ("pairs", "first", "second", "centre"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("n_states", [2, 4])
def test_crispness_is_what_its_equation_says(n_states):
    x, y = pairs(n_states)
    expected = 0.5 * sum(float((z.square().mean(0) / z.mean(0)).sum()) for z in (x, y))
    assert of_covariances(crispness, moments(x, y)) == pytest.approx(expected, rel=1e-12)


def test_reversible_score_is_the_sum_of_eigenvalues():
    transition = np.array([[0.90, 0.08, 0.02], [0.04, 0.90, 0.06], [0.01, 0.06, 0.93]])
    labels = markov_chain(transition, 5000, np.random.default_rng(5))[:, 0]
    x, y = torch.eye(3, dtype=torch.float64)[labels[:-1]], torch.eye(3, dtype=torch.float64)[labels[1:]]
    counts = (x.T @ y + y.T @ x).numpy()
    eigenvalues = np.linalg.eigvals(counts / counts.sum(1, keepdims=True))
    # The largest, 1, belongs to the mean.
    assert of_covariances(reversible_vamp1, moments(x, y)) == pytest.approx(eigenvalues.real.sum() - 1.0, rel=1e-5)


def test_crispness_bounds():
    labels = torch.eye(3, dtype=torch.float64)[torch.arange(30) % 3]
    assert of_covariances(crispness, moments(labels, labels)) == pytest.approx(3.0)
    alike = torch.full((30, 3), 1 / 3)
    assert of_covariances(crispness, moments(alike, alike)) == pytest.approx(1.0)


def any_states(rng):
    """States of any kind: sharp, soft, rare, constant to any degree, few."""
    n_states, n = rng.integers(2, 6), rng.integers(1, 200)
    base = rng.dirichlet(np.ones(n_states) * rng.choice([0.01, 0.1, 1, 10]))
    spread = 10.0 ** rng.uniform(-20, 0) * rng.standard_normal((n, 1, n_states)) * rng.choice([0, 1], n_states)
    chi = np.abs(base + spread)
    chi /= chi.sum(-1, keepdims=True)
    return chi.astype(rng.choice([np.float32, np.float64])), int(rng.integers(1, 4))


def test_scores_keep_their_bounds_whatever_the_states_are():
    """Without the means taken off first, a state that is constant to 1e-8 scored 14 where 1 is the most."""
    rng = np.random.default_rng(0)
    for _ in range(1500):
        chi, lag = any_states(rng)
        c = Covariances.of(chi, np.zeros(len(chi), int), lag)
        x, y = (torch.as_tensor(part).requires_grad_(True) for part in (chi[:-lag, 0], chi[lag:, 0]))
        score = vamp2_torch(x, y)
        score.backward()
        most = chi.shape[-1] - 1
        assert 0.0 <= vamp2(c) <= most
        assert 0.0 <= float(score.detach()) <= most
        assert 0.0 <= of_covariances(vamp2_of, moments_of(c)) <= most
        assert torch.isfinite(x.grad).all()
        assert vamp2(c) == pytest.approx(float(score.detach()), abs=1e-3)


def test_a_rare_state_that_hardly_varies():
    """0.5 % of the time, with variations of 1e-8 about it, in float32 as networks give them."""
    rng = np.random.default_rng(1)
    p = (0.005 + 1e-8 * rng.standard_normal((4000, 1))).astype(np.float32)
    chi = np.stack([1.0 - p, p], axis=-1)
    assert vamp2(Covariances.of(chi, np.zeros(4000, int), 10)) < 0.05
    x, y = (torch.as_tensor(part) for part in (chi[:-10, 0], chi[10:, 0]))
    assert float(vamp2_torch(x, y)) < 0.05


def test_covariances_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(2)
    chi = rng.dirichlet(np.ones(3), (90, 2))
    segment = np.repeat([0, 1, 2], 30)
    parts = [Covariances.of(chi[a : a + 30], segment[a : a + 30], 4) for a in (0, 30, 60)]
    whole, together = Covariances.of(chi, segment, 4), Covariances.together(parts)
    for name in ("c00", "c01", "c11", "mean0", "mean1", "centred"):
        np.testing.assert_allclose(getattr(together, name), getattr(whole, name), atol=1e-15)
    assert together.samples == whole.samples


def test_derivatives_that_torch_finds_are_those_written_out():
    @derived
    def vamp2_in_torch(mean, covariance):
        n = len(mean) // 2
        c00, c01, c11 = covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]
        inverses = [
            torch.linalg.inv(c + (RIDGE * c.trace() / n + ROUNDING) * torch.eye(n, dtype=c.dtype)) for c in (c00, c11)
        ]
        return (inverses[0] @ c01 @ inverses[1] @ c01.T).trace()

    of_pairs = moments(*pairs(4))
    at = of_pairs.mean, of_pairs.second / of_pairs.pairs
    found, expected = vamp2_in_torch(*at), vamp2_of(*at)
    assert found.value == pytest.approx(expected.value, rel=1e-10)
    np.testing.assert_allclose(found.of_mean, expected.of_mean, atol=1e-10)
    symmetric = [value.of_covariance + value.of_covariance.T for value in (found, expected)]
    np.testing.assert_allclose(*symmetric, rtol=1e-8, atol=1e-10)
    with pytest.raises(np.linalg.LinAlgError):
        derived(lambda mean, covariance: torch.linalg.cholesky(-covariance).sum())(*at)
