"""Made-up worlds whose truth is known exactly, to judge what gdyn says about them.

    world = WORLDS["four"]()
    sample = world.sample(20_000, 20, np.random.default_rng(1))
    states = sample.states(lag_ps=10.0)                 # what a perfect network would give
    world.truth["timescales_ps"], world.koopman(10.0)   # what is true of them
    world.write_dump("four.lammpstrj", 5_000, 4, np.random.default_rng(2))

    python tests/benchmarks/synthetic.py four four.lammpstrj --frames 5000 --targets 4

In every world, targets hop among hidden states with given rates, in continuous time, and are seen at whole frames.
Of its hidden state a target shows only its kind of site, the label. So there are two levels: labels, from which
states are made at once, for many realisations; and dumps, in which each kind of site has a coordination shell of its
own, for a network to tell them apart by distances. Truth comes from the rates alone, by numpy and scipy; nothing here
uses an estimator of gdyn. Times are in ps, lengths in A, rates in 1/ps.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.linalg import block_diag, expm
from scipy.optimize import brentq, least_squares, root
from scipy.spatial.transform import Rotation

from gdyn.store.states import States

# What a judge ought to say of a world.
MARKOVIAN = "stationary, Markovian"
NOT_MARKOVIAN = "not Markovian"
NOT_STATIONARY = "not stationary"
ONE_WAY = "one-way"
HETEROGENEOUS = "heterogeneous"
COLLECTIVE = "collective"
LABEL_ERRORS = "label errors"
NOTHING = "nothing"

ROUNDING = 1e-12  # of eigenvalues; what is less is 0
LAG_PS = 10.0  # at which truth["n_states"] counts
SPLITS_FASTER = 5.0  # times than the lag, where a superfluous state of ideal_states has dynamics
DECIMALS = 4  # of coordinates in dumps
CHUNK = 256  # frames of a dump that are written together

# Hosts around the sites of each kind: number and distance differ from any kind to any other.
_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3.0)
_TRIANGLE = np.array([[np.cos(a), np.sin(a), 0.0] for a in (0.0, 2 * np.pi / 3, 4 * np.pi / 3)])
_AXES = np.concatenate([np.eye(3), -np.eye(3)])
_HANDED = np.array([[2.0, 0, 0], [0, 2.3, 0], [0, 0, 2.6], [-1.9, -1.7, -0.9]])  # four hosts, all different: chiral
SHELLS = (
    2.0 * _CUBE[[0, 3, 5, 6]],
    2.4 * _AXES,
    2.8 * _CUBE,
    3.2 * np.concatenate([_TRIANGLE, _AXES[[2, 5]]]),
    3.6 * _TRIANGLE,
    _HANDED,
    _HANDED * [1, 1, -1],
)
LEFT, RIGHT = 5, 6  # shells that are mirror images of each other
OPEN_A = 3.0  # distance of the six hosts that a diffusing target of kind 1 carries along; those of kind 0 are SHELLS[1]


@dataclass(frozen=True, eq=False)
class Sample:
    """One realisation of a world.

    labels : (frames, targets) int8, the kind of site that each target shows, without errors.
    hidden : (frames, targets) int8, the hidden states.
    positions : (frames, targets, 3), A, unwrapped; None where the world says nothing of them.
    """

    world: "World"
    labels: np.ndarray
    hidden: np.ndarray
    interval_ps: float
    seed: int
    positions: np.ndarray | None = None

    def part(self, first, last):
        """The frames between two shares of the run, such as 0.0 and 0.6, as a sample."""
        n = len(self.labels)
        frames = slice(round(first * n), round(last * n))
        positions = None if self.positions is None else self.positions[frames]
        return replace(
            self,
            labels=self.labels[frames],
            hidden=self.hidden[frames],
            positions=positions,
            seed=self.seed + frames.start,
        )

    def seen(self, errors=None):
        """The labels, a share ``errors`` of them (by default the world's own) replaced by any of the others.

        Each independently of all others; the same ones every time.
        """
        errors = self.world.errors if errors is None else errors
        n = self.world.n_kinds
        if not errors or n == 1:
            return self.labels
        rng = np.random.default_rng([self.seed, 1])
        wrong = rng.random(self.labels.shape) < errors
        other = (self.labels + rng.integers(1, n, self.labels.shape)) % n
        return np.where(wrong, other, self.labels).astype(np.int8)

    def states(self, lag_ps, split="test", errors=None, softness=0.0):
        """States as a network with one state for each kind would give them.

        Parameters
        ----------
        lag_ps : lag time of the states.
        split : what to call the frames.
        errors : share of labels that are wrong, in each frame independently; by default the world's own.
        softness : mean of the probability that the other states have together. It is drawn for each frame and target
            independently, evenly from 0 to twice as much.

        Where all kinds look alike there are two states of random probabilities, as of a network that has nothing to
        tell apart.
        """
        n = self.world.n_kinds
        if n == 1:
            return ideal_states(self.world, self, 2, lag_ps, split)
        probabilities = np.eye(n, dtype=np.float32)[self.seen(errors)]
        if softness:
            rng = np.random.default_rng([self.seed, 2])
            lost = rng.random(self.labels.shape, np.float32)[..., None] * np.float32(2.0 * softness)
            probabilities += lost * (1.0 - n * probabilities) / np.float32(n - 1)
        return States.of(probabilities, lag_ps, self.interval_ps, split=split)


@dataclass(frozen=True, eq=False)
class World:
    """Independent targets that hop among hidden states at constant rates.

    name : what it is called.
    named : what a judge ought to say of it.
    rates : (hidden, hidden), 1/ps, rows sum to 0.
    shows : (hidden,) the kind that each hidden state shows.
    start : (hidden,) probabilities of the hidden states in the first frame.
    is_stationary : whether ``start`` stays as it is.
    errors : share of labels that are wrong in each frame.
    places : (hidden,) numbers of the SHELLS around targets; by default the kinds.
    has_dump : whether it exists as a dump.
    """

    name: str
    named: str
    rates: np.ndarray
    shows: np.ndarray
    start: np.ndarray
    is_stationary: bool = True
    errors: float = 0.0
    places: np.ndarray | None = None
    has_dump: bool = True

    def __post_init__(self):
        if len(self.rates) > np.iinfo(np.int8).max:
            raise ValueError(f"{self.name}: {len(self.rates)} hidden states, more than int8 can number")

    @property
    def n_kinds(self):
        """Number of kinds of site that can be told apart."""
        return int(self.shows.max()) + 1

    @property
    def membership(self):
        """(hidden, kinds) 1 where a hidden state shows a kind."""
        return np.eye(self.n_kinds)[self.shows]

    # What is true.

    @cached_property
    def truth(self) -> dict[str, Any]:
        """All that is true of the world, by name.

        ``named``, ``stationary``; ``n_states`` that are resolved at a lag of 10 ps, and ``n_states_at``, a function
        of the lag; ``n_kinds``; ``populations`` of the kinds, None where they are not constant; ``rates`` among the
        hidden states, ``shows``; ``transition``, a function of the lag, among the hidden states; ``timescales_ps`` of
        the rates; ``koopman`` and ``implied_ps``, functions of the lag, of what is seen; ``dwell_ps`` and
        ``first_passage_ps`` of the kinds.
        """
        return {
            "named": self.named,
            "stationary": self.is_stationary,
            "n_states": self.n_states(LAG_PS),
            "n_states_at": self.n_states,
            "n_kinds": self.n_kinds,
            "populations": self.start @ self.membership if self.is_stationary else None,
            "rates": self.rates,
            "shows": self.shows,
            "transition": self.transition,
            "timescales_ps": self.timescales_ps,
            "koopman": self.koopman,
            "implied_ps": self.implied_ps,
            "dwell_ps": self.dwell_ps,
            "first_passage_ps": self.first_passage_ps,
        }

    def transition(self, lag_ps):
        """(hidden, hidden) probability of each hidden state one lag after each."""
        if lag_ps not in self._transitions:
            self._transitions[lag_ps] = expm(self.rates * lag_ps)
            self._transitions[lag_ps].setflags(write=False)
        return self._transitions[lag_ps]

    @cached_property
    def _transitions(self):
        return {}

    @cached_property
    def timescales_ps(self):
        """(hidden - 1,) of the rates, the slowest first; infinite where targets never mix."""
        found = np.sort(-np.linalg.eigvals(self.rates).real)[1:]
        with np.errstate(divide="ignore"):
            return 1.0 / np.where(found < ROUNDING, 0.0, found)

    def course(self, n_frames, interval_ps=1.0):
        """(frames, hidden) expected populations of the hidden states in every frame."""
        if self.is_stationary:
            return np.tile(self.start, (n_frames, 1))
        step = self.transition(interval_ps)
        course = np.empty((n_frames, len(self.start)))
        course[0] = self.start
        for before, now in pairwise(course):
            now[:] = before @ step
        return course

    def joint(self, lag_ps, n_frames=None, interval_ps=1.0):
        """(hidden, hidden) probability of each pair of hidden states one lag apart, on average over a run.

        n_frames : of the run; needed where the world is not stationary.
        """
        first = self.start
        if not self.is_stationary:
            first = self.course(n_frames, interval_ps)[: n_frames - round(lag_ps / interval_ps)].mean(0)
        return first[:, None] * self.transition(lag_ps)

    def koopman(self, lag_ps, errors=None, softness=0.0, n_frames=None, interval_ps=1.0):
        """(kinds, kinds) Koopman matrix of the states, ``<x x'>^-1 <x y'>``, for endless data.

        It is that of :meth:`Sample.states` with these ``errors`` and this ``softness``. For states that are not
        Markovian it is no power of that of a shorter lag.
        """
        errors = self.errors if errors is None else errors
        n = self.n_kinds
        if n == 1:
            raise ValueError(f"{self.name}: with one kind there is no Koopman matrix")
        others = (1.0 - np.eye(n)) / (n - 1)
        label = self.membership @ ((1.0 - errors) * np.eye(n) + errors * others)
        pairs = label.T @ self.joint(lag_ps, n_frames, interval_ps) @ label
        state = (1.0 - softness) * np.eye(n) + softness * others
        spread = others - np.eye(n)  # of what a state of each label gives to the others
        first = self.joint(lag_ps, n_frames, interval_ps).sum(1) @ label
        same = state.T @ (first[:, None] * state) + softness**2 / 3.0 * spread.T @ (first[:, None] * spread)
        return np.linalg.solve(same, state.T @ pairs @ state)

    def implied_ps(self, lag_ps, errors=None, softness=0.0, n_frames=None, interval_ps=1.0):
        """(kinds - 1,) implied timescales of :meth:`koopman`, the slowest first; constant if it is Markovian."""
        if self.n_kinds == 1:
            return np.empty(0)
        values = np.linalg.eigvals(self.koopman(lag_ps, errors, softness, n_frames, interval_ps))
        values = np.sort(np.abs(values))[::-1][1:]
        values = np.where(values < ROUNDING, 0.0, np.minimum(values, 1.0))
        with np.errstate(divide="ignore"):
            return lag_ps / -np.log(values)

    def n_states(self, lag_ps):
        """The number of states that are resolved at a lag: one more than there are slower processes."""
        times = self.implied_ps(lag_ps, errors=0.0) if self.is_stationary else self.timescales_ps
        return 1 + int((times > lag_ps).sum())

    @cached_property
    def dwell_ps(self):
        """(kinds,) mean length of a visit to a kind, in continuous time."""
        m = self.membership
        leaving = self.start @ (m * (self.rates @ (1.0 - m)))
        if len(self.start) == self.n_kinds:
            leaving, occupied = -np.diag(self.rates), np.ones(self.n_kinds)
        else:
            occupied = self.start @ m
        with np.errstate(divide="ignore"):
            return occupied / np.where(leaving > 0.0, leaving, 0.0)

    def dwell_counted_ps(self, interval_ps=1.0):
        """(kinds,) mean length of a visit as counted at frames, which miss some ends: frames times the interval."""
        m = self.membership
        weight = np.ones(self.n_kinds) if len(self.start) == self.n_kinds else self.start
        leaving = weight @ (m * (self.transition(interval_ps) @ (1.0 - m)))
        with np.errstate(divide="ignore"):
            return interval_ps * (weight @ m) / leaving

    @cached_property
    def first_passage_ps(self):
        """(kinds, kinds) mean time until a target that is now of kind i is first of kind j; 0 for i = j.

        A target that is of kind i at any time, not one that has just become so. Infinite where some never are.
        """
        n = self.n_kinds
        found = np.zeros((n, n))
        weight = self.membership * (self.start if self.is_stationary else np.ones(len(self.start)))[:, None]
        for kind in range(n):
            times = _first_passage(self.rates, self.shows == kind)
            for other in set(range(n)) - {kind}:
                of = weight[:, other] > 0.0
                found[other, kind] = np.average(times[of], weights=weight[of, other])
        return found

    def covariances(self, n_lags, interval_ps=1.0):
        """(lags, kinds) of a target being of a kind, with itself ``lag`` frames later, about its own mean."""
        if not self.is_stationary:
            raise ValueError(f"{self.name}: not stationary")
        return _covariances(self.start, self.transition(interval_ps), self.membership, self.membership, n_lags)

    def population_sd(self, n_frames, n_targets, interval_ps=1.0):
        """(kinds,) exact standard deviation, over realisations, of the populations found in a run."""
        return np.sqrt(_variance_of_mean(self.covariances(n_frames, interval_ps), n_frames) / n_targets)

    # Realisations.

    def sample(self, n_frames, n_targets, rng, interval_ps=1.0):
        """Draw the hidden states and the labels of all targets in all frames."""
        step = np.cumsum(self.transition(interval_ps), axis=1)[None]
        first = self.first(n_targets, rng)
        hidden = _walk(first, rng.random((n_frames, n_targets)), step, np.zeros(n_frames, np.int64))
        return self.sampled(hidden, rng, interval_ps)

    def first(self, n_targets, rng):
        """(targets,) hidden states in the first frame."""
        return rng.choice(len(self.start), n_targets, p=self.start).astype(np.int8)

    def sampled(self, hidden, rng, interval_ps, positions=None):
        labels = self.shows.astype(np.int8)[hidden]
        return Sample(self, labels, hidden, interval_ps, int(rng.integers(2**31)), positions)

    def write_dump(
        self,
        path,
        n_frames,
        n_targets,
        rng,
        interval_ps=1.0,
        columns="xu yu zu",
        noise_A=0.08,
        spacing_A=12.0,
        timestep_ps=0.001,
    ):
        """Write a realisation as a LAMMPS dump; return it, with the positions of the targets.

        There are as many sites of each kind as targets, on a cubic lattice in a random order, each with its shell of
        hosts in a random direction. Whenever a target changes its kind, it goes to one of the free sites of the new
        one. Targets are the atoms 1 ... n, Li, type 1; hosts are S, type 2.

        Parameters
        ----------
        columns : names of the coordinates, ``xu yu zu`` or ``x y z``.
        noise_A : standard deviation of the thermal motion of every atom along each axis, independent in every frame.
        spacing_A : distance between sites.
        timestep_ps : of LAMMPS, which says at which steps frames are.
        """
        if not self.has_dump:
            raise ValueError(f"{self.name}: there is no dump of it, only states")
        sample = self.sample(n_frames, n_targets, rng, interval_ps)
        n_hosts, atoms, side_A, positions = self.arranged(sample, rng, noise_A, spacing_A)
        _write(path, n_frames, n_targets, n_hosts, atoms, side_A, columns, interval_ps / timestep_ps)
        return replace(sample, positions=positions)

    def arranged(self, sample, rng, noise_A, spacing_A):
        """Where the atoms of a sample are.

        Returns
        -------
        the number of hosts; a function of a slice of frames that gives the positions of all atoms in these, targets
        first; the side of the box; (frames, targets, 3) the positions of the targets, known once all frames were asked
        """
        n_frames, n_targets = sample.labels.shape
        places = self.shows if self.places is None else self.places
        shells, place = np.unique(places, return_inverse=True)
        n_sites = n_targets * len(shells)
        side = int(np.ceil(round(n_sites ** (1 / 3), 9)))
        lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
        sites = (rng.permutation(lattice)[:n_sites] + 0.5) * spacing_A  # those of the first kind first
        turns = Rotation.from_quat(rng.standard_normal((n_sites, 4)))
        hosts = np.concatenate([sites[i] + turns[i].apply(SHELLS[shells[i // n_targets]]) for i in range(n_sites)])
        at = _occupy(place.astype(np.int8)[sample.hidden], len(shells), rng)
        positions = np.empty((n_frames, n_targets, 3))

        def atoms(frames):
            chunk = at[frames]
            mean = np.concatenate([sites[chunk], np.broadcast_to(hosts, (len(chunk), *hosts.shape))], axis=1)
            moved = mean + noise_A * rng.standard_normal(mean.shape)
            positions[frames] = moved[:, :n_targets]
            return moved

        return len(hosts), atoms, side * spacing_A, positions


@dataclass(frozen=True, eq=False)
class Heterogeneous(World):
    """Targets of several classes, each with its own rates, which it never leaves: hidden state = class x kinds + kind.

    Targets belong to the classes in turn: 0, 1, ... 0, 1, ...
    """

    n_classes: int = 2

    def first(self, n_targets, rng):
        share = self.start.reshape(self.n_classes, -1)
        of = np.arange(n_targets) % self.n_classes
        edges = np.cumsum(share / share.sum(1, keepdims=True), axis=1)[of]
        return (of * share.shape[1] + (rng.random((n_targets, 1)) >= edges[:, :-1]).sum(1)).astype(np.int8)

    def covariances(self, n_lags, interval_ps=1.0):
        share = self.start.reshape(self.n_classes, -1)
        weight, each = share.sum(1), share / share.sum(1, keepdims=True)
        pooled = super().covariances(n_lags, interval_ps)
        return pooled - (weight @ each**2 - (weight @ each) ** 2)


@dataclass(frozen=True, eq=False)
class Drift(World):
    """Two kinds whose equilibrium moves evenly from the beginning of a run to its end, however long the run is.

    Rates are constant from each frame to the next. ``rates`` and ``start`` are those of the beginning.

    ends : population of kind 1 in equilibrium at the beginning and at the end.
    """

    ends: tuple[float, float] = (0.2, 0.8)
    relaxation_ps: float = 40.0

    @cached_property
    def truth(self):
        return {**super().truth, "rates": self.rates_at, "transition": None, "first_passage_ps": None, "dwell_ps": None}

    def rates_at(self, share):
        """(2, 2) rates after this share of the run."""
        second = self.ends[0] + share * (self.ends[1] - self.ends[0])
        return _relaxing([1.0 - second, second], self.relaxation_ps)

    def transition(self, lag_ps):
        raise ValueError(f"{self.name}: transitions differ from frame to frame; see steps and joint")

    def steps(self, n_frames, interval_ps=1.0):
        """(frames - 1, 2, 2) transition probabilities from each frame to the next."""
        share = (np.arange(n_frames - 1) + 0.5) / (n_frames - 1)
        second = self.ends[0] + share * (self.ends[1] - self.ends[0])
        left = np.exp(-interval_ps / self.relaxation_ps)
        return left * np.eye(2) + (1.0 - left) * np.stack([1.0 - second, second], -1)[:, None, :]

    def course(self, n_frames, interval_ps=1.0):
        course = [self.start]
        for step in self.steps(n_frames, interval_ps):
            course.append(course[-1] @ step)
        return np.array(course)

    def joint(self, lag_ps, n_frames=None, interval_ps=1.0):
        steps, lag = self.steps(n_frames, interval_ps), round(lag_ps / interval_ps)
        n_pairs = n_frames - lag
        along = np.broadcast_to(np.eye(2), (n_pairs, 2, 2))
        for i in range(lag):
            along = along @ steps[i : i + n_pairs]
        return (self.course(n_frames, interval_ps)[:n_pairs, :, None] * along).mean(0)

    def sample(self, n_frames, n_targets, rng, interval_ps=1.0):
        steps = np.cumsum(self.steps(n_frames, interval_ps), axis=2)
        which = np.maximum(np.arange(n_frames) - 1, 0)
        hidden = _walk(self.first(n_targets, rng), rng.random((n_frames, n_targets)), steps, which)
        return self.sampled(hidden, rng, interval_ps)


@dataclass(frozen=True, eq=False)
class Collective(World):
    """Targets of two kinds whose rates depend on one environment that all of them share.

    Hidden state = environment x 2 + kind. The environment goes from either of its two states to the other at the same
    rate. ``rates`` are those of a target and the environment together, so that everything about one target is as for
    any world.

    each : populations of kind 0 that targets tend to in either environment.
    relaxation_ps : timescale on which they do.
    """

    each: tuple[float, float] = (0.3, 0.7)
    relaxation_ps: float = 30.0
    environment_ps: float = 300.0

    @cached_property
    def truth(self):
        return {**super().truth, "population_sd": self.population_sd, "inflation": self.inflation}

    def covariances_of_two(self, n_lags, interval_ps=1.0):
        """(lags, kinds) of a target being of a kind, with another one ``lag`` frames later."""
        one = np.eye(2)
        each = [_relaxing([p, 1.0 - p], self.relaxation_ps) for p in self.each]
        flip = _relaxing([0.5, 0.5], self.environment_ps)
        rates = np.kron(flip, np.eye(4)) + block_diag(*[np.kron(k, one) + np.kron(one, k) for k in each])
        first, second = np.tile(np.kron(one, np.ones((2, 1))), (2, 1)), np.tile(one, (4, 1))
        return _covariances(stationary(rates), expm(rates * interval_ps), first, second, n_lags)

    def population_sd(self, n_frames, n_targets, interval_ps=1.0):
        own = _variance_of_mean(self.covariances(n_frames, interval_ps), n_frames)
        other = _variance_of_mean(self.covariances_of_two(n_frames, interval_ps), n_frames)
        return np.sqrt((own + (n_targets - 1) * other) / n_targets)

    def inflation(self, n_frames, n_targets, interval_ps=1.0):
        """(kinds,) how many times larger the variance of populations is than for independent targets."""
        alone = super().population_sd(n_frames, n_targets, interval_ps)
        return (self.population_sd(n_frames, n_targets, interval_ps) / alone) ** 2

    def sample(self, n_frames, n_targets, rng, interval_ps=1.0):
        # Targets that share a past are not independent given the present environment. So all begin long before.
        begin = 20.0 * max(self.timescales_ps[0], self.environment_ps)
        coarse = begin / 2000
        times = np.concatenate([np.arange(-2000, 0) * coarse, np.arange(n_frames) * interval_ps])
        environment, steps, which = self._steps(times, rng)
        share = self.start.reshape(2, 2)[environment[0]]
        first = (rng.random(n_targets) >= share[0] / share.sum()).astype(np.int8)
        kinds = _walk(first, rng.random((len(times), n_targets)), np.cumsum(steps, axis=2), which)[2000:]
        hidden = (environment[2000:, None] * 2 + kinds).astype(np.int8)
        return self.sampled(hidden, rng, interval_ps)

    def _steps(self, times, rng):
        """The environment at some times, the different transition matrices between them, and which leads to each."""
        at = times[0] + np.cumsum(rng.exponential(2.0 * self.environment_ps, _enough(times, 2.0 * self.environment_ps)))
        at = at[at < times[-1]]
        begun = rng.integers(2)
        environment = (begun + np.searchsorted(at, times, side="right")) % 2
        lengths, which = np.unique(np.round(np.diff(times), 9), return_inverse=True)
        steps = [self._relaxed(state, length) for length in lengths for state in (0, 1)]
        which = np.concatenate([[0], 2 * which + environment[:-1]])
        for frame in np.unique(np.searchsorted(times, at, side="right")):
            inside = at[(at > times[frame - 1]) & (at <= times[frame])]
            step, state = np.eye(2), environment[frame - 1]
            for length in np.diff([times[frame - 1], *inside, times[frame]]):
                step = step @ self._relaxed(state, length)
                state = 1 - state
            which[frame] = len(steps)
            steps.append(step)
        return environment, np.array(steps), which

    def _relaxed(self, state, time_ps):
        left = np.exp(-time_ps / self.relaxation_ps)
        return left * np.eye(2) + (1.0 - left) * np.array([self.each[state], 1.0 - self.each[state]])


@dataclass(frozen=True, eq=False)
class Diffusion(World):
    """Targets that diffuse freely, in each hidden state with another coefficient; positions are exact at every frame.

    coefficients : (hidden,) A^2/ps.
    """

    coefficients: tuple[float, ...] = ()

    @cached_property
    def truth(self):
        return {
            **super().truth,
            "coefficients_A2_ps": np.array(self.coefficients),
            "diffusion_A2_ps": float(self.start @ self.coefficients),
            "msd": self.msd,
            "msd_by_pair": self.msd_by_pair,
        }

    def msd(self, times_ps):
        """Mean square displacement, A^2, of all targets after some times."""
        return 6.0 * (self.start @ self.coefficients) * np.asarray(times_ps)

    def msd_by_pair(self, time_ps):
        """(hidden, hidden) what targets of each state at first and after a time contribute to the displacement, A^2.

        Their sum is :meth:`msd`; divided by :meth:`World.joint`, they are the means of each pair.
        """
        n = len(self.start)
        both = np.block([[self.rates, np.diag(self.coefficients)], [np.zeros((n, n)), self.rates]])
        return 6.0 * self.start[:, None] * expm(both * time_ps)[:n, n:]

    def sample(self, n_frames, n_targets, rng, interval_ps=1.0):
        times_ps = np.arange(n_frames) * interval_ps
        values = np.array(self.coefficients, float)
        hidden, spread = _continuous(self.first(n_targets, rng), self.rates, values, times_ps, rng)
        moves = np.sqrt(2.0 * spread)[..., None] * rng.standard_normal((n_frames, n_targets, 3))
        return self.sampled(hidden, rng, interval_ps, np.cumsum(moves, axis=0))

    def arranged(self, sample, rng, noise_A, spacing_A):
        """Every target carries six hosts along, whose distance is that of its kind.

        The box is so large that no target comes near the hosts of another. Only hosts move thermally, so that the
        targets' displacements are exact.
        """
        n_targets = sample.labels.shape[1]
        side = int(np.ceil(round(n_targets ** (1 / 3), 9)))
        apart = spacing_A + 2.0 * np.abs(sample.positions).max()
        lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
        positions = sample.positions + (lattice[:n_targets] + 0.5) * apart
        turns = Rotation.from_quat(rng.standard_normal((n_targets, 4)))
        shells = np.array([[turn.apply(shell) for shell in (SHELLS[1], OPEN_A * _AXES)] for turn in turns])

        def atoms(frames):
            chunk = positions[frames]
            around = shells[np.arange(n_targets), sample.labels[frames]]
            around = around + noise_A * rng.standard_normal(around.shape)
            hosts = (chunk[:, :, None] + around).reshape(len(chunk), -1, 3)
            return np.concatenate([chunk, hosts], axis=1)

        return 6 * n_targets, atoms, side * apart, positions


def ideal_states(world, sample, n_states, lag_ps, split="test", extra="noise", simplex="inner"):
    """The best states of some number that a network could find in a sample.

    Fewer than there are kinds: memberships in the corners of the simplex that the slowest eigenfunctions of the exact
    Koopman matrix span. As many: the kinds. More: the most populated kind is divided among several states.

    Parameters
    ----------
    extra : how that kind is divided: ``noise``, shares that are drawn anew for each frame and target; ``fast``, one of
        the states at a time, which change among each other five times faster than the lag.
    simplex : where corners are for fewer states: ``inner``, at kinds, and memberships beyond 0 and 1 are clipped, which
        costs a little of the timescales; ``outer``, so far out that none are, so that timescales are exactly the
        slowest ones, at every lag, and states are softer.
    """
    kinds, labels = world.n_kinds, sample.seen()
    if n_states < kinds:
        matrix = world.koopman(lag_ps, n_frames=len(labels), interval_ps=sample.interval_ps)
        memberships = corners_of(eigenfunctions(matrix)[:, :n_states], simplex)
        return States.of(memberships.astype(np.float32)[labels], lag_ps, sample.interval_ps, split=split)
    rng = np.random.default_rng([sample.seed, 3])
    probabilities = np.zeros((*labels.shape, n_states), np.float32)
    probabilities[..., :kinds] = np.eye(kinds, dtype=np.float32)[labels]
    if n_states > kinds:
        n_parts = n_states - kinds + 1
        largest = np.bincount(labels.ravel(), minlength=kinds).argmax()
        if extra == "noise":
            shares = rng.standard_exponential((*labels.shape, n_parts), np.float32)
            shares /= shares.sum(-1, keepdims=True)
        else:
            rates = _relaxing(np.full(n_parts, 1.0 / n_parts), lag_ps / SPLITS_FASTER)
            step = np.cumsum(expm(rates * sample.interval_ps), axis=1)[None]
            first = rng.integers(n_parts, size=labels.shape[1]).astype(np.int8)
            parts = _walk(first, rng.random(labels.shape), step, np.zeros(len(labels), np.int64))
            shares = np.eye(n_parts, dtype=np.float32)[parts]
        columns = [largest, *range(kinds, n_states)]
        probabilities[..., columns] = probabilities[..., [largest]] * shares
    return States.of(probabilities, lag_ps, sample.interval_ps, split=split)


def eigenfunctions(matrix):
    """(kinds, kinds) right eigenvectors of a Koopman matrix as columns, the slowest first; the first is constant."""
    p = stationary(matrix - np.eye(len(matrix)))
    fluxes = p[:, None] * matrix
    if (p > 0.0).all() and np.allclose(fluxes, fluxes.T, atol=1e-12):
        root_p = np.sqrt(p)
        values, vectors = np.linalg.eigh((fluxes + fluxes.T) / 2.0 / np.outer(root_p, root_p))
        vectors = vectors / root_p[:, None]
    else:
        values, vectors = np.linalg.eig(matrix)
    found = np.real(vectors[:, np.argsort(-np.abs(values))])
    found[:, 0] = 1.0
    return found


def corners_of(functions, simplex="inner"):
    """(kinds, states) memberships of kinds in the corners of the simplex of some functions (kinds, states).

    The first function is constant. Each corner of the inner simplex is the kind farthest from what the ones before it
    span; the outer one has the same directions, and no kind beyond its faces.
    """
    corners = [int((functions[:, 1:] ** 2).sum(1).argmax())]
    rest = functions - functions[corners[0]]
    while len(corners) < functions.shape[1]:
        corners.append(int((rest**2).sum(1).argmax()))
        along = rest[corners[-1]] / np.linalg.norm(rest[corners[-1]])
        rest = rest - np.outer(rest @ along, along)
    found = functions @ np.linalg.inv(functions[corners])
    found = np.clip(found, 0.0, 1.0) if simplex == "inner" else found - found.min(0)
    return found / found.sum(1, keepdims=True)


# The worlds.


def two(populations=(0.7, 0.3), timescale_ps=60.0):
    """Two kinds in detailed balance."""
    return _chain("two", reversible(populations, (timescale_ps,)))


def three():
    """Three kinds in detailed balance, in a row."""
    return _chain("three", reversible((0.5, 0.3, 0.2), (120.0, 40.0)))


def four():
    """Four kinds in detailed balance, in a row, one of them of 5 %."""
    return _chain("four", reversible((0.45, 0.3, 0.2, 0.05), (152.0, 58.0, 31.0)))


def five():
    """Five kinds in detailed balance, in a ring."""
    return _chain("five", reversible((0.35, 0.25, 0.2, 0.12, 0.08), (200.0, 100.0, 50.0, 25.0), ring=True))


def rare(population=0.005, dwell_ps=40.0):
    """Two common kinds, and a rare one that is reached from the first, in detailed balance."""
    p = np.array([0.6 * (1.0 - population), 0.4 * (1.0 - population), population])
    flux = np.zeros((3, 3))
    flux[0, 1] = flux[1, 0] = p[0] * p[1] / 80.0
    flux[0, 2] = flux[2, 0] = population / dwell_ps
    return _chain("rare", _generator(flux / p[:, None]))


def hidden(strength=1.0, mode="basins"):
    """Two kinds, and a mode of each target that does not show, with a timescale of 1055 ps.

    Of what shows, the implied timescale is 36 ps at a lag of 10 ps, and 85 ps at 100 ps, for ``strength`` 1.

    Parameters
    ----------
    strength : how much the two modes differ: at 0 not at all, and then the kinds are Markovian.
    mode : ``basins``, two modes with different populations of the kinds; the slow process shows in their correlations,
        the less the smaller the strength. ``walkers``, a fast and a slow mode with the same populations.
    """
    rates = {"basins": _basins, "walkers": _walkers}[mode](strength)
    return _chain("hidden", rates, shows=[0, 1, 0, 1], named=NOT_MARKOVIAN if strength else MARKOVIAN)


def label_errors(kinds=4, errors=0.1):
    """The world ``two``, ``three``, ``four`` or ``five``, with labels that are wrong now and then; states only."""
    chain = {2: two, 3: three, 4: four, 5: five}[kinds]()
    return replace(chain, name="label_errors", named=LABEL_ERRORS, errors=errors, has_dump=False)


def fast(fast_ps=1.9):
    """Two kinds that exchange slowly, and a third one that exchanges with the second faster than the lag."""
    return _chain("fast", reversible((0.5, 0.3, 0.2), (80.0, fast_ps)))


def nothing(kinds=3):
    """No dynamics: any of the kinds at random in every frame; with one kind, thermal motion alone."""
    p = np.array([1.0]) if kinds == 1 else np.arange(kinds, 0, -1) / (kinds * (kinds + 1) / 2)
    return _chain("nothing", _relaxing(p, 0.02), named=NOTHING)


def mirror(timescale_ps=60.0):
    """Two kinds that are mirror images of each other, so that no distance tells them apart: they show as one."""
    rates = reversible((0.6, 0.4), (timescale_ps,))
    return replace(_chain("mirror", rates, shows=[0, 0], named=NOTHING), places=np.array([LEFT, RIGHT]))


def drift(ends=(0.2, 0.8), relaxation_ps=40.0):
    """Two kinds whose equilibrium moves from the beginning of a run to its end."""
    rates = _relaxing([1.0 - ends[0], ends[0]], relaxation_ps)
    about = {"shows": np.arange(2), "start": np.array([1.0 - ends[0], ends[0]]), "is_stationary": False}
    return Drift("drift", NOT_STATIONARY, rates, **about, ends=ends, relaxation_ps=relaxation_ps)


def one_way(transitions=5.0, n_frames=20_000, n_targets=20, interval_ps=1.0, melted=0.1, pair_ps=20.0):
    """Two kinds that exchange, and a third that targets go to and never leave.

    Parameters
    ----------
    transitions : expected number of targets that go there in a run of ``n_frames`` and ``n_targets``; with others, as
        many more or fewer. They follow Poisson's distribution nearly.
    melted : share of targets that are there from the beginning.
    pair_ps : timescale of the exchange of the first two kinds, of populations 0.6 and 0.4.
    """
    if transitions >= n_targets * (1.0 - melted):
        raise ValueError(f"one_way: {transitions} transitions of {n_targets} targets, of which {melted:.0%} are there")
    rate = -np.log(1.0 - transitions / (n_targets * (1.0 - melted))) / ((n_frames - 1) * interval_ps)
    rates = np.zeros((3, 3))
    rates[:2, :2] = _relaxing([0.6, 0.4], pair_ps)
    rates[:2, 2] = rate
    start = np.array([0.6 * (1.0 - melted), 0.4 * (1.0 - melted), melted])
    return World("one_way", ONE_WAY, _generator(rates), np.arange(3), start, is_stationary=False)


def heterogeneous(populations=(0.9, 0.1), timescale_ps=20.0):
    """Two kinds; each target has one of several populations of the first, for ever."""
    rates = block_diag(*[_relaxing([p, 1.0 - p], timescale_ps) for p in populations])
    start = np.concatenate([[p, 1.0 - p] for p in populations]) / len(populations)
    shows = np.tile([0, 1], len(populations))
    return Heterogeneous("heterogeneous", HETEROGENEOUS, rates, shows, start, n_classes=len(populations))


def unlike(factor=2.0, populations=(2 / 3, 1 / 3), timescale_ps=50.0):
    """Two kinds, whose populations are those of all targets; every second target hops so many times as often."""
    rates = block_diag(*[_relaxing(list(populations), time) for time in (timescale_ps, timescale_ps / factor)])
    start = np.tile(populations, 2) / 2.0
    return Heterogeneous("unlike", HETEROGENEOUS, rates, np.array([0, 1, 0, 1]), start, n_classes=2)


def collective(populations=(0.3, 0.7), timescale_ps=30.0, environment_ps=300.0):
    """Two kinds; an environment that all targets share decides which of two populations of the first they tend to."""
    each = [_relaxing([p, 1.0 - p], timescale_ps) for p in populations]
    rates = np.kron(_relaxing([0.5, 0.5], environment_ps), np.eye(2)) + block_diag(*each)
    about = {"shows": np.array([0, 1, 0, 1]), "start": stationary(rates)}
    settings = {"each": tuple(populations), "relaxation_ps": timescale_ps, "environment_ps": environment_ps}
    return Collective("collective", COLLECTIVE, rates, **about, **settings)


def diffusion(coefficients=(0.01, 0.1), populations=(0.7, 0.3), timescale_ps=60.0):
    """Two kinds in detailed balance, and free diffusion, in each of them with another coefficient (A^2/ps)."""
    rates = reversible(populations, (timescale_ps,))
    return Diffusion(
        "diffusion", MARKOVIAN, rates, np.arange(2), np.array(populations, float), coefficients=tuple(coefficients)
    )


WORLDS: dict[str, Callable[..., World]] = {
    make.__name__: make
    for make in (
        two,
        three,
        four,
        five,
        rare,
        hidden,
        label_errors,
        fast,
        nothing,
        mirror,
        drift,
        one_way,
        heterogeneous,
        unlike,
        collective,
        diffusion,
    )
}


# Rates.


def reversible(populations, timescales_ps, ring=False):
    """Rates (kinds, kinds) in detailed balance with some populations and timescales, from each kind to the next.

    The search begins where each timescale, the slowest first, is that of two neighboring kinds.

    ring : whether the last kind is next to the first.
    """
    return _reversible(tuple(map(float, populations)), tuple(map(float, timescales_ps)), ring)


@cache
def _reversible(populations, timescales_ps, ring):
    p, n = np.array(populations), len(populations)
    bonds = [*pairwise(range(n))] + ([(n - 1, 0)] if ring and n > 2 else [])

    def rates(logarithms):
        flux = np.zeros((n, n))
        for (i, j), value in zip(bonds, logarithms, strict=True):
            flux[i, j] = flux[j, i] = np.exp(value)
        return _generator(flux / p[:, None])

    def difference(logarithms):
        symmetric = rates(logarithms) * np.sqrt(p)[:, None] / np.sqrt(p)
        return np.log(-np.linalg.eigvalsh((symmetric + symmetric.T) / 2.0)[:-1][::-1] * np.array(timescales_ps))

    times = [*timescales_ps, timescales_ps[0]]
    begin = [np.log(p[i] * p[j] / (p[i] + p[j]) / time) for (i, j), time in zip(bonds, times, strict=False)]
    found = least_squares(difference, begin, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    if np.abs(found.fun).max() > 1e-9:
        raise ValueError(f"no such rates among {n} kinds of populations {populations}: timescales {timescales_ps} ps")
    return rates(found.x)


def stationary(rates):
    """(hidden,) the populations that rates leave as they are."""
    values, vectors = np.linalg.eig(np.asarray(rates).T)
    found = np.real(vectors[:, np.argmin(np.abs(values))])
    return found / found.sum()


def _generator(rates):
    """Rates of which the diagonal is such that rows sum to 0."""
    rates = np.array(rates, float)
    np.fill_diagonal(rates, 0.0)
    np.fill_diagonal(rates, -rates.sum(1))
    return rates


def _relaxing(populations, timescale_ps):
    """Rates towards some populations, from anywhere and with one timescale."""
    return _generator(np.tile(np.asarray(populations, float) / timescale_ps, (len(populations), 1)))


def _chain(name, rates, shows=None, named=MARKOVIAN):
    return World(name, named, rates, np.arange(len(rates)) if shows is None else np.array(shows), stationary(rates))


SLOW_PS = 1055.0  # of the hidden mode
SHORT, LONG = (10.0, 36.0), (100.0, 85.0)  # lags, and implied timescales of what shows


def _implied(rates, lag_ps):
    return World("", "", rates, np.array([0, 1, 0, 1]), stationary(rates)).implied_ps(lag_ps)[0]


def _basin_rates(flip, hop, difference):
    p = np.array([0.6 + difference / 2.0, 0.4 - difference / 2.0, 0.6 - difference / 2.0, 0.4 + difference / 2.0]) / 2
    rates = block_diag(_relaxing(2.0 * p[:2], 1.0 / hop), _relaxing(2.0 * p[2:], 1.0 / hop))
    for i, j in ((0, 2), (2, 0), (1, 3), (3, 1)):
        rates[i, j] = flip * np.sqrt(p[j] / p[i])
    return _generator(rates)


def _slowest_ps(rates):
    return 1.0 / np.sort(-np.linalg.eigvals(rates).real)[1]


@cache
def _basins(strength):
    def differences(x):
        rates = _basin_rates(np.exp(x[0]), np.exp(x[1]), 0.8 / (1.0 + np.exp(-x[2])))
        found = [_slowest_ps(rates), _implied(rates, SHORT[0]), _implied(rates, LONG[0])]
        return np.log(np.array(found) / [SLOW_PS, SHORT[1], LONG[1]])

    found = root(differences, [np.log(0.5 / SLOW_PS), np.log(0.05), 0.5], tol=1e-12)
    assert np.abs(found.fun).max() < 1e-9
    hop, difference = np.exp(found.x[1]), strength * 0.8 / (1.0 + np.exp(-found.x[2]))
    flip = brentq(lambda x: _slowest_ps(_basin_rates(x, hop, difference)) - SLOW_PS, 1e-5, 5e-3, xtol=1e-16)
    return _basin_rates(flip, hop, difference)


def _walker_rates(hop, contrast):
    rates = block_diag(*[_relaxing([0.6, 0.4], np.exp(sign * contrast) / hop) for sign in (-1, 1)])
    return rates + np.kron(_relaxing([0.5, 0.5], SLOW_PS), np.eye(2))


@cache
def _walkers(strength):
    def differences(x):
        rates = _walker_rates(np.exp(x[0]), x[1])
        return np.log(np.array([_implied(rates, lag) for lag, _ in (SHORT, LONG)]) / [SHORT[1], LONG[1]])

    found = root(differences, [np.log(0.02), 1.2], tol=1e-12)
    assert np.abs(found.fun).max() < 1e-9
    return _walker_rates(np.exp(found.x[0]), strength * found.x[1])


def _first_passage(rates, goal):
    """(hidden,) mean times until a target is in a state of a set; infinite where it may never be."""
    reach = np.eye(len(rates), dtype=bool) | (rates > 0.0)
    reach[goal] = np.eye(len(rates), dtype=bool)[goal]  # nothing after the goal counts
    for _ in range(len(rates)):
        reach = reach @ reach
    lost = ~reach[:, goal].any(1)
    certain = ~reach[:, lost].any(1) & ~goal
    times = np.where(goal, 0.0, np.inf)
    times[certain] = np.linalg.solve(rates[np.ix_(certain, certain)], -np.ones(certain.sum()))
    return times


def _covariances(p, step, first, second, n_lags):
    """(lags, kinds) of two indicators of hidden states, the second ``lag`` steps later."""
    mean = (p @ first) * (p @ second)
    found, later = np.empty((n_lags, first.shape[1])), second
    for lag in range(n_lags):
        found[lag] = ((p[:, None] * first) * later).sum(0) - mean
        later = step @ later
    return found


def _variance_of_mean(covariances, n_frames):
    """(kinds,) variance of the mean over frames."""
    weight = 2.0 * (n_frames - np.arange(n_frames))
    weight[0] = n_frames
    return weight @ covariances[:n_frames] / n_frames**2


def _enough(times, mean):
    """A number of exponential steps that certainly span some times."""
    expected = (times[-1] - times[0]) / mean
    return int(expected + 12.0 * np.sqrt(expected) + 50)


# Loops. (numba's cache would not do: scripts and tests import this module under different names.)


@numba.njit
def _walk(first, uniform, edges, which):
    """(frames, targets) states of chains; ``edges[which[t]]`` are cumulated probabilities of the step to frame t."""
    n_frames, n_targets = uniform.shape
    out = np.empty((n_frames, n_targets), np.int8)
    last = edges.shape[2] - 1
    for i in range(n_targets):
        out[0, i] = first[i]
    for t in range(1, n_frames):
        for i in range(n_targets):
            new = 0
            while new < last and uniform[t, i] >= edges[which[t], out[t - 1, i], new]:
                new += 1
            out[t, i] = new
    return out


def _continuous(first, rates, values, times_ps, rng):
    """States (times, targets) at some times, hop by hop, and the integral of a value of them since the time before."""
    stay = -1.0 / np.diag(rates)
    edges = np.cumsum(np.where(np.eye(len(rates)), 0.0, rates) * stay[:, None], axis=1)[:, :-1]
    states, ends = [first], [times_ps[0] + rng.exponential(stay[first])]
    while (ends[-1] <= times_ps[-1]).any():
        states.append((rng.random((len(first), 1)) >= edges[states[-1]]).sum(1).astype(np.int8))
        ends.append(ends[-1] + rng.exponential(stay[states[-1]]))
    out = np.empty((len(times_ps), len(first)), np.int8)
    integral = np.empty(out.shape)
    for i, (visited, until) in enumerate(zip(np.array(states).T, np.array(ends).T, strict=True)):
        out[:, i] = visited[np.searchsorted(until, times_ps, side="right")]
        bounds = np.concatenate([times_ps[:1], until])
        grown = np.concatenate([[0.0], np.cumsum(values[visited] * np.diff(bounds))])
        integral[:, i] = np.diff(np.interp(times_ps, bounds, grown), prepend=0.0)
    return out, integral


def _occupy(places, n_places, rng):
    """(frames, targets) sites of targets: place x targets + number. Another free one whenever the place changes."""
    n_frames, n_targets = places.shape
    free = [list(range(place * n_targets, (place + 1) * n_targets)) for place in range(n_places)]
    arrives = np.ones(places.shape, bool)
    arrives[1:] = places[1:] != places[:-1]
    sites = np.zeros(places.shape, np.int64)
    now = [0] * n_targets
    for (t, i), u in zip(np.argwhere(arrives).tolist(), rng.random(arrives.sum()).tolist(), strict=True):
        there = free[places[t, i]]
        chosen = int(u * len(there))
        there[chosen], there[-1] = there[-1], there[chosen]
        sites[t, i] = there.pop()
        if t > 0:  # left only now, so that it is not entered at once; there are as many sites as targets
            free[places[t - 1, i]].append(now[i])
        now[i] = sites[t, i]
    last = np.maximum.accumulate(np.where(arrives, np.arange(n_frames)[:, None], 0))
    return np.take_along_axis(sites, last, axis=0)


@numba.njit
def _rows(prefix, values, width, decimals):
    """Lines of text: a prefix and three whole numbers, with a decimal point."""
    n_frames, n_atoms, _ = values.shape
    begin = prefix.shape[1]
    length = begin + 3 * (width + 1) + 1
    out = np.empty((n_frames, n_atoms, length), np.uint8)
    for t in range(n_frames):
        for i in range(n_atoms):
            for at in range(length):
                out[t, i, at] = prefix[i, at] if at < begin else 32
            out[t, i, length - 1] = 10
            for axis in range(3):
                left = abs(values[t, i, axis])
                at = begin + (axis + 1) * (width + 1) - 1
                digits = 0
                while digits <= decimals or left > 0:
                    if digits == decimals:
                        out[t, i, at] = 46
                        at -= 1
                    out[t, i, at] = 48 + left % 10
                    left //= 10
                    at -= 1
                    digits += 1
                if values[t, i, axis] < 0:
                    out[t, i, at] = 45
    return out


def _write(path, n_frames, n_targets, n_hosts, atoms, side_A, columns, steps):
    """Write a dump of a cubic box: ``atoms`` gives the positions of all atoms in some frames."""
    if columns not in ("xu yu zu", "x y z"):
        raise ValueError(f"columns: should be 'xu yu zu' or 'x y z', not {columns!r}")
    n = n_targets + n_hosts
    kinds = ["1 Li"] * n_targets + ["2 S "] * n_hosts
    prefix = np.array([list(f"{i:{len(str(n))}d} {kind}".encode()) for i, kind in enumerate(kinds, 1)], np.uint8)
    bounds = f"0.0 {side_A:.{DECIMALS}f}\n" * 3
    with Path(path).open("wb") as file:
        for begin in range(0, n_frames, CHUNK):
            frames = slice(begin, min(begin + CHUNK, n_frames))
            positions = atoms(frames)
            if columns == "x y z":
                positions = positions % side_A
            values = np.rint(positions * 10**DECIMALS).astype(np.int64)
            rows = _rows(prefix, values, len(str(np.abs(values).max())) + 3, DECIMALS)
            for frame, lines in enumerate(rows, begin):
                file.write(
                    f"ITEM: TIMESTEP\n{round(frame * steps)}\nITEM: NUMBER OF ATOMS\n{n}\n"
                    f"ITEM: BOX BOUNDS pp pp pp\n{bounds}ITEM: ATOMS id type element {columns}\n".encode()
                )
                file.write(lines.data)


def main():
    """Write the dump of a world, and its hidden states and labels beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=WORLDS)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--frames", type=int, default=5000)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interval-ps", type=float, default=1.0)
    given = parser.parse_args()
    world = WORLDS[given.world]()
    rng = np.random.default_rng(given.seed)
    sample = world.write_dump(given.dump, given.frames, given.targets, rng, given.interval_ps)
    np.savez(given.dump.with_suffix(".npz"), labels=sample.labels, hidden=sample.hidden, positions=sample.positions)
    for name in ("named", "n_states", "populations", "timescales_ps", "dwell_ps"):
        print(f"{name:14s} {world.truth[name]}")


if __name__ == "__main__":
    main()
