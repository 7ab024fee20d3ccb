"""Made-up worlds are what they say: truth against realisations, and realisations against their dumps."""

import numpy as np
import pytest
from benchmarks import synthetic
from benchmarks.synthetic import WORLDS, corners_of, ideal_states
from MDAnalysis.coordinates.LAMMPS import DumpReader

import gdyn

CHAINS = {
    "two": ([0.7, 0.3], [60.0]),
    "three": ([0.5, 0.3, 0.2], [120.0, 40.0]),
    "four": ([0.45, 0.3, 0.2, 0.05], [152.0, 58.0, 31.0]),
    "five": ([0.35, 0.25, 0.2, 0.12, 0.08], [200.0, 100.0, 50.0, 25.0]),
    "fast": ([0.5, 0.3, 0.2], [80.0, 1.9]),
}
CONSTANT = [*CHAINS, "rare", "hidden", "nothing", "mirror", "heterogeneous", "unlike", "collective", "diffusion"]
WITH_DUMP = [name for name in WORLDS if name != "label_errors"]


def power(rates, time_ps):
    """Transition probabilities by very many very short steps."""
    return np.linalg.matrix_power(np.eye(len(rates)) + rates * time_ps / 2**24, 2**24)


def z_of_mean(each, truth, axis=0):
    """By how many of its standard errors a mean over independent estimates differs from the truth."""
    error = np.std(each, axis=axis, ddof=1) / np.sqrt(each.shape[axis])
    return (np.mean(each, axis=axis) - truth) / np.maximum(error, 1e-12)


def timescales_of(matrix, lag_ps):
    """Implied timescales, the slowest first."""
    return -lag_ps / np.log(np.sort(np.linalg.eigvals(matrix).real)[-2::-1])


def koopman_of(states, lag):
    """Means over pairs, ``<x x'>^-1 <x y'>``."""
    x, y = states[:-lag].astype(float), states[lag:].astype(float)
    return np.linalg.solve(np.einsum("tni,tnj->ij", x, x), np.einsum("tni,tnj->ij", x, y))


@pytest.mark.parametrize("name", CHAINS)
def test_chains_have_the_populations_and_timescales_that_they_are_made_for(name):
    world = WORLDS[name]()
    populations, timescales = CHAINS[name]
    truth = world.truth
    np.testing.assert_allclose(truth["timescales_ps"], timescales, rtol=1e-6)
    np.testing.assert_allclose(truth["populations"], populations, rtol=1e-6)
    matrix = power(truth["rates"], 5.0)
    np.testing.assert_allclose(truth["transition"](5.0), matrix, atol=1e-6)
    np.testing.assert_allclose(timescales_of(matrix, 5.0), timescales, rtol=1e-5)
    np.testing.assert_allclose(matrix * np.array(populations)[:, None], (matrix.T * populations), atol=1e-8)
    np.testing.assert_allclose(truth["implied_ps"](7.0), timescales, rtol=1e-6)
    assert truth["n_states"] == (2 if name == "fast" else len(populations))
    assert truth["n_states_at"](1.0) == len(populations)


@pytest.mark.parametrize("name", CONSTANT)
def test_samples_follow_their_rates(name):
    world = WORLDS[name]()
    n_targets = 3000 if name == "rare" else 200
    sample = world.sample(1000, n_targets, np.random.default_rng(1))
    n = len(world.rates)
    assert sample.labels.dtype == sample.hidden.dtype == np.int8
    np.testing.assert_array_equal(sample.labels, world.shows[sample.hidden])
    if name != "collective":  # whose targets are not independent
        each = np.eye(n)[sample.hidden].mean(0)
        if name == "heterogeneous":
            each = each[0::2] / 2.0 + each[1::2] / 2.0
        assert np.abs(z_of_mean(each, world.start)).max() < 4.0
        pairs = np.bincount((sample.hidden[:-1].astype(int) * n + sample.hidden[1:]).ravel(), minlength=n * n)
        pairs = pairs.reshape(n, n)
        p = power(world.rates, 1.0)
        expected = pairs.sum(1, keepdims=True) * p
        assert (np.abs(pairs - expected) < 4.0 * np.sqrt(expected * (1.0 - p) + 1.0) + 1e-5 * expected).all()


@pytest.mark.parametrize("name", ["three", "four", "fast", "hidden"])
def test_visits_last_as_long_as_they_should(name):
    world = WORLDS[name]()
    sample = world.sample(8000, 100, np.random.default_rng(2), interval_ps=0.5)
    assert (world.dwell_counted_ps(1e-4) / world.dwell_ps - 1.0 < 1e-3).all()
    changes = sample.labels[1:] != sample.labels[:-1]
    for kind, truth in enumerate(world.dwell_counted_ps(0.5)):
        time = 0.5 * (sample.labels[:-1] == kind).sum(0)
        ended = (changes & (sample.labels[:-1] == kind)).sum(0)
        error = np.std(time - truth * ended, ddof=1) * np.sqrt(len(ended)) / ended.sum()
        assert abs(time.sum() / ended.sum() - truth) < 4.0 * error


@pytest.mark.parametrize("name", ["four", "hidden", "heterogeneous"])
def test_first_passages_take_as_long_as_hop_by_hop(name):
    world, rng, n = WORLDS[name](), np.random.default_rng(3), 2000
    stay = -1.0 / np.diag(world.rates)
    hops = np.cumsum(np.where(np.eye(len(stay)), 0.0, world.rates) * stay[:, None], axis=1)
    for first in range(world.n_kinds):
        weight = np.where(world.shows == first, world.start, 0.0)
        for goal in range(world.n_kinds):
            state, time = rng.choice(len(stay), n, p=weight / weight.sum()), np.zeros(n)
            while (moving := world.shows[state] != goal).any():
                time += np.where(moving, rng.exponential(stay[state]), 0.0)
                new = (rng.random((n, 1)) >= hops[state, :-1]).sum(1)
                state = np.where(moving, new, state)
            assert abs(z_of_mean(time, world.first_passage_ps[first, goal])) < 4.0


def test_a_rare_state_is_as_rare_as_asked_for():
    for population in (0.005, 0.05):
        world = WORLDS["rare"](population)
        np.testing.assert_allclose(world.truth["populations"][2], population)
        np.testing.assert_allclose(world.dwell_ps[2], 40.0)
        assert world.truth["n_states"] == 3


@pytest.mark.parametrize("mode", ["basins", "walkers"])
def test_a_hidden_mode_shows_in_implied_timescales_that_rise(mode):
    world = synthetic.hidden(1.0, mode)
    np.testing.assert_allclose(world.timescales_ps[0], 1055.0)
    np.testing.assert_allclose([world.implied_ps(10.0)[0], world.implied_ps(100.0)[0]], [36.0, 85.0])
    rises = [world.implied_ps(100.0)[0] / world.implied_ps(10.0)[0] for world in map(synthetic.hidden, (0.5, 0.2, 0.1))]
    assert rises == sorted(rises, reverse=True)
    np.testing.assert_allclose(synthetic.hidden(0.1, mode).timescales_ps[0], 1055.0)
    none = synthetic.hidden(0.0, mode)
    np.testing.assert_allclose(none.koopman(10.0) @ none.koopman(20.0), none.koopman(30.0))
    assert none.named == synthetic.MARKOVIAN
    p = world.start
    np.testing.assert_allclose(p[:, None] * world.rates, (p[:, None] * world.rates).T, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "errors", "softness"),
    [("three", 0.0, 0.1), ("label_errors", None, 0.0), ("label_errors", 0.05, 0.2), ("hidden", 0.0, 0.0)],
)
def test_states_have_the_exact_koopman_matrix(name, errors, softness):
    world = WORLDS[name]()
    states = world.sample(2000, 240, np.random.default_rng(4)).states(10.0, errors=errors, softness=softness)
    assert states.probabilities.dtype == np.float32
    assert states.lag_frames == 10
    each = np.array([koopman_of(states.probabilities[:, group::24], 10) for group in range(24)])
    truth = world.koopman(10.0, errors, softness)
    bias = np.mean(each, 0) - koopman_of(states.probabilities, 10)  # a group is small
    assert np.abs(z_of_mean(each - bias, truth)).max() < 4.0


def test_errors_are_as_many_as_asked_for_and_the_same_every_time():
    sample = WORLDS["label_errors"]().sample(2000, 50, np.random.default_rng(5))
    wrong = sample.seen() != sample.labels
    assert abs(wrong.mean() - 0.1) < 4.0 * np.sqrt(0.09 / wrong.size)
    np.testing.assert_array_equal(sample.seen(), sample.seen())
    assert sample.seen(errors=0.0) is sample.labels
    states = sample.states(10.0, split="train", softness=0.1)
    assert states.split == "train"
    np.testing.assert_array_equal(states.probabilities, sample.states(10.0, softness=0.1).probabilities)
    np.testing.assert_allclose(1.0 - states.probabilities.max(-1).mean(), 0.1, rtol=0.02)
    part = sample.part(0.5, 1.0)
    np.testing.assert_array_equal(part.labels, sample.labels[1000:])
    with pytest.raises(ValueError, match="no dump"):
        sample.world.write_dump("nowhere", 1, 1, np.random.default_rng(1))


def test_populations_drift():
    world, n = WORLDS["drift"](), 1001
    sample = world.sample(n, 2000, np.random.default_rng(6))
    course = world.course(n)
    np.testing.assert_allclose(course[0], [0.8, 0.2])
    np.testing.assert_allclose(course[-1], [0.2, 0.8], atol=0.05)
    at = np.arange(0, n, 100)
    assert np.abs(z_of_mean(sample.labels[at] == 1, course[at, 1], axis=1)).max() < 4.0
    steps = world.steps(n)
    for t in (0, 700):
        np.testing.assert_allclose(steps[t], power(world.rates_at((t + 0.5) / (n - 1)), 1.0), atol=1e-6)
    x, y = np.eye(2)[sample.labels[:-10]], np.eye(2)[sample.labels[10:]]
    both = np.einsum("tni,tnj->ijn", x, y) / len(x)
    assert np.abs(z_of_mean(both, world.joint(10.0, n), axis=2)).max() < 4.0
    assert world.truth["populations"] is None
    assert (world.truth["named"], world.truth["n_states"]) == ("not stationary", 2)


def test_what_has_melted_stays_so():
    world, rng = synthetic.one_way(transitions=5.0, n_frames=500, n_targets=20, melted=0.1), np.random.default_rng(7)
    numbers, at_end = [], []
    for _ in range(200):
        labels = world.sample(500, 20, rng).labels
        assert not ((labels[:-1] == 2) & (labels[1:] != 2)).any()
        numbers.append(((labels[-1] == 2) & (labels[0] != 2)).sum())
        at_end.append(np.bincount(labels[-1], minlength=3) / 20)
    assert abs(z_of_mean(np.array(numbers), 5.0)) < 4.0
    assert np.abs(z_of_mean(np.array(at_end), world.course(500)[-1])).max() < 4.0
    truth = world.truth
    assert truth["n_states"] == 3
    np.testing.assert_array_equal(truth["first_passage_ps"][2], [np.inf, np.inf, 0.0])
    assert truth["dwell_ps"][2] == np.inf
    with pytest.raises(ValueError, match="transitions of 4 targets"):
        synthetic.one_way(n_targets=4)


def test_targets_keep_to_their_own_populations():
    world = WORLDS["heterogeneous"]()
    sample = world.sample(4000, 40, np.random.default_rng(8))
    first = (sample.labels == 0).mean(0)
    assert abs(z_of_mean(first[0::2], 0.9)) < 4.0
    assert abs(z_of_mean(first[1::2], 0.1)) < 4.0
    assert world.timescales_ps[0] == np.inf
    np.testing.assert_allclose(world.timescales_ps[1:], 20.0)


@pytest.mark.parametrize(("name", "n_frames"), [("collective", 300), ("heterogeneous", 100), ("two", 100)])
def test_populations_scatter_as_much_as_they_should(name, n_frames):
    world, rng = WORLDS[name](), np.random.default_rng(9)
    found = np.array([(world.sample(n_frames, 10, rng).labels == 0).mean() for _ in range(250)])
    exact = world.population_sd(n_frames, 10)[0]
    assert abs(found.var(ddof=1) / exact**2 - 1.0) < 4.0 * np.sqrt(2.0 / 249)
    assert abs(z_of_mean(found, world.start @ world.membership[:, 0])) < 4.0
    if name == "collective":
        inflation = world.inflation(n_frames, 10)
        assert (inflation > 3.0).all()
        np.testing.assert_allclose(world.inflation(n_frames, 1), 1.0)


def test_the_environment_of_a_collective_world_leads_its_targets():
    world = synthetic.collective()
    sample = world.sample(20_000, 20, np.random.default_rng(10))
    environment = sample.hidden // 2
    assert (environment == environment[:, :1]).all()
    switches = (environment[1:, 0] != environment[:-1, 0]).sum()
    assert abs(switches - 20_000 / 600.0) < 4.0 * np.sqrt(20_000 / 600.0)
    x = np.eye(4)[sample.hidden]
    after = np.einsum("tni,tnj->ij", x[:-1], x[1:])
    stays = after[0, :2].sum()  # in the first environment, of kind 0
    p = 1.0 - 0.7 * (1.0 - np.exp(-1.0 / 30.0))
    assert abs(after[0, 0] - stays * p) < 4.0 * np.sqrt(stays * p * (1.0 - p))


def test_squared_displacements_are_exact():
    world = WORLDS["diffusion"]()
    sample = world.sample(1500, 300, np.random.default_rng(11), interval_ps=2.0)
    for lag in (1, 30):
        square = ((sample.positions[lag:] - sample.positions[:-lag]) ** 2).sum(-1)
        assert abs(z_of_mean(square.mean(0), world.msd(2.0 * lag))) < 4.0
        pairs = world.msd_by_pair(2.0 * lag)
        np.testing.assert_allclose(pairs.sum(), world.msd(2.0 * lag))
        for i, j in np.ndindex(2, 2):
            is_pair = (sample.hidden[:-lag] == i) & (sample.hidden[lag:] == j)
            assert abs(z_of_mean((square * is_pair).mean(0), pairs[i, j])) < 4.0


@pytest.mark.parametrize(
    ("n_states", "simplex", "loss"), [(2, "inner", 1e-5), (3, "inner", 0.1), (2, "outer", 1e-5), (3, "outer", 1e-5)]
)
def test_fewer_ideal_states_have_the_slowest_processes(n_states, simplex, loss):
    world = WORLDS["four"]()
    sample = world.sample(500, 20, np.random.default_rng(12))
    states = ideal_states(world, sample, n_states, 10.0, simplex=simplex)
    rows = np.array([states.probabilities[sample.labels == kind][0] for kind in range(4)], float)
    np.testing.assert_allclose(rows.sum(1), 1.0, atol=1e-6)
    p = world.truth["populations"]
    x = np.linalg.solve(rows.T @ (p[:, None] * rows), rows.T @ (p[:, None] * power(world.rates, 10.0)) @ rows)
    np.testing.assert_allclose(timescales_of(x, 10.0), [152.0, 58.0][: n_states - 1], rtol=loss)


def test_more_ideal_states_have_nothing_new():
    world = WORLDS["two"]()
    sample = world.sample(4000, 50, np.random.default_rng(13))
    plain = ideal_states(world, sample, 2, 10.0)
    np.testing.assert_array_equal(plain.probabilities.argmax(-1), sample.labels)
    for extra in ("noise", "fast"):
        states = ideal_states(world, sample, 4, 10.0, extra=extra).probabilities
        np.testing.assert_allclose(states[..., [0, 2, 3]].sum(-1), sample.labels == 0, atol=1e-6)
        values = np.sort(np.linalg.eigvals(koopman_of(states, 10)).real)[::-1]
        assert values[1] > 0.8
        assert values[2] < np.exp(-3.0)
    np.testing.assert_allclose(corners_of(np.array([[1, 1.0], [1, 0.2], [1, -1.0]])), [[1, 0], [0.6, 0.4], [0, 1]])


@pytest.mark.parametrize("world", [synthetic.mirror(), synthetic.nothing(1)])
def test_where_all_looks_alike_states_are_noise(world):
    sample = world.sample(2000, 20, np.random.default_rng(14))
    states = sample.states(10.0).probabilities
    assert states.shape == (2000, 20, 2)
    assert np.abs(np.corrcoef(states[:-10, :, 0].ravel(), states[10:, :, 0].ravel())[0, 1]) < 4.0 / np.sqrt(4e4)
    assert world.truth["n_states"] == 1
    assert ideal_states(world, sample, 3, 10.0).probabilities.shape == (2000, 20, 3)


def of_dump(path):
    """Times, targets (frames, targets, 3), and vectors to the hosts within 4.5 A of each, by frame and target."""
    read = gdyn.read_dump(path, units="metal", timestep=0.001, frame_interval_ps=1.0)
    targets = np.flatnonzero(np.asarray(read.atoms.element) == "Li")
    positions, side = read.positions().astype(float), read.cells()[0, 0, 0]
    vectors = positions[:, None, len(targets) :] - positions[:, targets, None]
    vectors -= side * np.round(vectors / side)
    near = np.linalg.norm(vectors, axis=-1) < 4.5
    around = [[vectors[t, i, near[t, i]] for i in range(len(targets))] for t in range(len(positions))]
    return read.time_ps, positions[:, targets], around


@pytest.mark.parametrize("name", WITH_DUMP)
def test_a_dump_has_a_kind_of_surroundings_for_each_kind(name, tmp_path):
    world = synthetic.one_way(transitions=1.0, n_frames=15, n_targets=3) if name == "one_way" else WORLDS[name]()
    path = tmp_path / "made_up.lammpstrj"
    sample = world.write_dump(path, 15, 3, np.random.default_rng(15), noise_A=0.05)
    time_ps, targets, around = of_dump(path)
    np.testing.assert_allclose(time_ps, np.arange(15.0))
    np.testing.assert_allclose(targets, sample.positions, atol=1e-3)
    places = sample.hidden if world.places is None else world.places[sample.hidden]
    places = sample.labels if world.places is None else places
    radius = {synthetic.LEFT: 2.36, synthetic.RIGHT: 2.36} | dict(enumerate((2.0, 2.4, 2.8, 3.2, 3.6)))
    if name == "diffusion":
        radius, number = {0: 2.4, 1: 3.0}, {0: 6, 1: 6}
    else:
        number = {place: len(shell) for place, shell in enumerate(synthetic.SHELLS)}
    for t, i in np.ndindex(15, 3):
        assert len(around[t][i]) == number[places[t, i]]
        mean = np.linalg.norm(around[t][i], axis=1).mean()
        assert abs(mean - radius[places[t, i]]) < 4.0 * 0.05 * np.sqrt(2.0)
    if name != "diffusion":
        apart = np.linalg.norm(targets[:, :, None] - targets[:, None], axis=-1)
        assert apart[:, *np.triu_indices(3, 1)].min() > 11.0


def test_mirror_images_have_the_same_distances(tmp_path):
    path = tmp_path / "made_up.lammpstrj"
    sample = WORLDS["mirror"]().write_dump(path, 300, 2, np.random.default_rng(16), noise_A=0.0)
    _, _, around = of_dump(path)
    seen = set()
    for t, i in np.ndindex(300, 2):
        vectors = around[t][i][np.argsort(np.linalg.norm(around[t][i], axis=1))]
        between = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
        first = around[0][0][np.argsort(np.linalg.norm(around[0][0], axis=1))]
        np.testing.assert_allclose(between, np.linalg.norm(first[:, None] - first[None], axis=-1), atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), np.linalg.norm(first, axis=1), atol=1e-3)
        seen.add((int(sample.hidden[t, i]), np.sign(np.linalg.det(vectors[:3]))))
    assert len(seen) == 2
    assert {hidden for hidden, _ in seen} == {0, 1}


@pytest.mark.parametrize("name", ["four", "diffusion"])
def test_wrapped_dumps_are_read_by_others(name, tmp_path):
    path = tmp_path / "made_up.lammpstrj"
    sample = WORLDS[name]().write_dump(path, 20, 3, np.random.default_rng(17), interval_ps=0.5, columns="x y z")
    trajectory = DumpReader(str(path), dt=0.5)
    assert trajectory.n_frames == 20
    for t, frame in enumerate(trajectory):
        assert frame.data["step"] == 500 * t
        side = frame.dimensions[0]
        difference = frame.positions[:3] - sample.positions[t]
        np.testing.assert_allclose(difference - side * np.round(difference / side), 0.0, atol=1e-3)
    with pytest.raises(ValueError, match="columns"):
        sample.world.write_dump(path, 1, 1, np.random.default_rng(1), columns="xs ys zs")


@pytest.mark.parametrize("name", WORLDS)
def test_a_world_says_what_it_is(name):
    world = WORLDS[name]()
    assert world.name == name
    assert WORLDS[name].__doc__
    names = {"named", "n_states", "populations", "rates", "transition", "timescales_ps", "implied_ps", "dwell_ps"}
    assert names <= set(world.truth)
    np.testing.assert_allclose(world.rates.sum(1), 0.0, atol=1e-12)
    if world.is_stationary:
        np.testing.assert_allclose(world.start @ world.rates, 0.0, atol=1e-12)
    np.testing.assert_allclose(world.start.sum(), 1.0)
