"""The kernels of the head: interpreted, against plain torch and the network, and compiled for GPUs not here."""

import json
import os
import subprocess
import sys

import plain_kernels
import pytest
import torch
from interpreted import Interpreted

from gdyn import kernels as kernels_module
from gdyn.kernels.classify import classify
from gdyn.kernels.probe import probe
from gdyn.networks.base import SMALLEST_PROBABILITY
from gdyn.networks.gdynet import GDyNet

pytest.importorskip("triton", reason="Triton is not installed, so that its kernels can be neither run nor compiled")

MANY = 3000
SIZES = [(width, states, n) for width in (8, 16, 24) for states in (2, 4, 7) for n in (1, 33)] + [(16, 4, MANY)]
GPUS = ("sm_80", "sm_90", "gfx90a", "gfx942")
CASES = ("16,2", "24,4", "64,16")
# NVIDIA's, of the programs forward and back; up to 32 features, and for more.
MOST_REGISTERS = {"classify": 64, "classify_backward": 168}
MOST_REGISTERS_WIDE = {"classify": 80, "classify_backward": 255}

NAMES = ("states", "pooled", "weight1", "bias1", "weight2", "bias2")
OF_ANY_PROGRAMS = [(8, 2, 1, 1), (16, 4, 33, 5), (24, 7, 33, 1), (16, 2, 70, 2)]


@pytest.fixture(scope="module")
def interpreted():
    launchers = Interpreted()
    yield launchers
    launchers.pool.shutdown()


def head(width, n_states, seed=0):
    """A network whose states are mixed by its rotation, and some of which are too improbable to be left as they are."""
    torch.manual_seed(seed)
    network = GDyNet(1, n_states, width, 1, 0.3, 0.05)
    with torch.no_grad():
        network.head[3].weight *= 10.0
    network.rotate(torch.eye(n_states) + 0.05 * (torch.eye(n_states) - torch.eye(n_states).roll(1, 0)))
    return network


def case(width, n_states, n, seed=0):
    """A network, its weights, pooled features and a gradient of the states."""
    network = head(width, n_states, seed)
    weights = [getattr(network.head[layer], name) for layer in (1, 3) for name in ("weight", "bias")]
    return network, weights, torch.randn(n, width), torch.randn(n, n_states)


def states_of(network, pooled):
    """As the network makes them of pooled features without kernels; in float64, of a network in float64."""
    network.pool = lambda batch: pooled
    return network(None)


def error(found, exact):
    assert bool(torch.isfinite(found).all())
    return float((found.double() - exact).norm() / exact.norm())


def by_network(network, weights, pooled, gradient):
    """States, and the gradients of pooled features and weights, in the arithmetic of the network."""
    pooled = pooled.to(weights[0].dtype).requires_grad_()
    states = states_of(network, pooled)
    return states.detach(), *torch.autograd.grad(states, [pooled, *weights], gradient.to(states.dtype))


def by_kernels(kernels, network, weights, pooled, gradient):
    """The same, by kernels and their autograd."""
    pooled = pooled.clone().requires_grad_()
    states = classify(kernels, pooled, *weights, network.rotation, SMALLEST_PROBABILITY)
    return states.detach(), *torch.autograd.grad(states, [pooled, *weights], gradient)


@pytest.mark.parametrize(("width", "n_states", "n"), SIZES)
def test_the_kernels_of_the_head_are_the_head_of_the_network(interpreted, width, n_states, n):
    network, weights, pooled, gradient = case(width, n_states, n)
    found = by_kernels(interpreted, network, weights, pooled, gradient)
    network.double()
    weights = [one.detach().requires_grad_() for one in weights]
    exact = by_network(network, list(network.head.parameters()), pooled, gradient)
    if n == MANY:
        clamped = exact[0] < 1.001 * SMALLEST_PROBABILITY
        assert 0 < clamped.sum() < clamped.numel()
    errors = {name: error(*pair) for name, pair in zip(NAMES, zip(found, exact, strict=True), strict=True)}
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize(
    ("width", "n_states", "n", "parts"), [(8, 2, 1, 1), (16, 4, 33, 5), (24, 7, 33, 1), (16, 2, 70, 2)]
)
def test_they_compute_what_plain_operations_do_with_any_number_of_programs(interpreted, width, n_states, n, parts):
    network, weights, pooled, gradient = case(width, n_states, n)
    given = pooled, *(one.detach() for one in weights), network.rotation, SMALLEST_PROBABILITY
    size = sum(one.numel() for one in weights)
    written = [torch.full(shape, float("nan")) for shape in ((n, n_states), (n, width), (parts, size + 3))]
    states, grad_pooled, partial = written[0], written[1], written[2][:, :size]
    interpreted.classify(*given, states)
    interpreted.classify_backward(*given, gradient, grad_pooled, partial)
    exactly = [one.double() if isinstance(one, torch.Tensor) else one for one in given]
    exact = [torch.full(one.shape, float("nan"), dtype=torch.float64) for one in (states, grad_pooled, partial)]
    plain_kernels.classify(*exactly, exact[0])
    plain_kernels.classify_backward(*exactly, gradient.double(), *exact[1:])
    errors = [error(*pair) for pair in zip((states, grad_pooled, partial), exact, strict=True)]
    assert max(errors) < 1e-6, errors
    assert written[2][:, size:].isnan().all()


def test_it_gives_the_same_numbers_each_time(interpreted):
    of = case(16, 4, 100)
    for one, two in zip(by_kernels(interpreted, *of), by_kernels(interpreted, *of), strict=True):
        assert torch.equal(one, two)


def test_a_target_that_is_nan_stays_nan_and_no_other_becomes_so(interpreted):
    network, weights, pooled, gradient = case(16, 4, 33)
    pooled[20, 3] = float("nan")
    states, grad_pooled, *of_weights = by_kernels(interpreted, network, weights, pooled, gradient)
    assert states[20].isnan().all()
    assert torch.equal(grad_pooled[20].isnan(), ~(pooled[20] <= 0))
    for one in (states, grad_pooled):
        assert not one[torch.arange(33) != 20].isnan().any()
    assert all(one.isnan().any() for one in of_weights)


def test_the_network_leaves_its_head_to_the_kernels_in_float32_whatever_the_rest_is_in(monkeypatch):
    network, weights, pooled, gradient = case(16, 4, 33)
    expected = by_network(network, weights, pooled, gradient)
    pooled.requires_grad_()
    monkeypatch.setitem(kernels_module.KERNELS, "cpu", lambda device: plain_kernels)
    kernels_module._found.cache_clear()
    called = []
    monkeypatch.setattr(plain_kernels, "classify", lambda *of, plain=plain_kernels.classify: called.append(plain(*of)))
    with torch.autocast("cpu", torch.bfloat16):
        states = states_of(network, pooled)
    kernels_module._found.cache_clear()
    assert len(called) == 1
    found = states.detach(), *torch.autograd.grad(states, [pooled, *weights], gradient)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_without_a_gradient_nothing_is_kept(interpreted):
    network, weights, pooled, _ = case(16, 4, 33)
    with torch.no_grad():
        states = classify(interpreted, pooled, *weights, network.rotation, SMALLEST_PROBABILITY)
    assert states.grad_fn is None
    assert error(states, states_of(network.double(), pooled.double()).detach()) < 1e-6


class Wrong:
    """Kernels of which one gives something else."""

    def __init__(self, name, place):
        self.name, self.place = name, place

    def __getattr__(self, name):
        def launch(*given, **options):
            getattr(plain_kernels, name)(*given, **options)
            if name == self.name:
                given[self.place].mul_(1.001)

        return launch


@pytest.mark.parametrize(("name", "place"), [("classify", 7), ("classify_backward", 8), ("classify_backward", 9)])
def test_the_trial_on_the_device_finds_a_head_that_is_wrong(name, place):
    probe(Wrong(None, None), torch.device("cpu"))
    with pytest.raises(RuntimeError, match="do not give what they should"):
        probe(Wrong(name, place), torch.device("cpu"))


@pytest.fixture(scope="module")
def compiled(root, tmp_path_factory):
    """What is known of both kernels, in each case, by target."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
    environment |= {
        "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")), "TRITON_DUMP_PTXAS_LOG": "1",
        "TRITON_ALWAYS_COMPILE": "1", "PYTHONPATH": str(root),
    }  # fmt: skip
    command = [sys.executable, str(root / "tests/compile_head.py"), ",".join(GPUS), *CASES]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    facts = [json.loads(line) for line in run.stdout.splitlines()]
    return {gpu: [one for one in facts if one["target"] == gpu] for gpu in GPUS}


@pytest.mark.parametrize("gpu", GPUS)
def test_both_kernels_compile_without_spills_and_atomics(compiled, gpu):
    found = compiled[gpu]
    assert [(one["case"], one["kernel"]) for one in found] == [(of, name) for of in CASES for name in MOST_REGISTERS]
    for one in found:
        assert (one["spills"], one["atomics"]) == (0, 0), one


@pytest.mark.parametrize("gpu", ["sm_80", "sm_90"])
def test_products_are_of_float32_and_registers_leave_room_for_other_warps(compiled, gpu):
    for one in compiled[gpu]:
        most = MOST_REGISTERS if int(one["case"].split(",")[0]) <= 32 else MOST_REGISTERS_WIDE
        assert one["registers"] <= most[one["kernel"]], one
        assert one["products"] == 0, one  # tensor cores have fewer bits


@pytest.mark.parametrize("gpu", ["gfx90a", "gfx942"])
def test_amds_matrix_cores_multiply_in_float32(compiled, gpu):
    for one in compiled[gpu]:
        assert one["products"] > 0, one
