"""What the network must not notice, and what it must compute."""

import numpy as np
import pytest
import torch

from gdyn.graphs.gather import GraphBatch, starts_of
from gdyn.graphs.neighbors import nearest_neighbors, receptive_field
from gdyn.kernels.layout import Edges
from gdyn.kernels.plain import attend_plain
from gdyn.networks.attention import attend
from gdyn.networks.convolution import GraphConvolution, radial_basis
from gdyn.networks.gdynet import GDyNet

CELL = np.array([[9.0, 0, 0], [2.0, 8.0, 0], [-1.0, 3.0, 7.0]])
SPECIES = np.array([0, 1, 1, 2, 0, 1, 2, 1, 0, 1])


@pytest.fixture
def network():
    torch.manual_seed(0)
    net = GDyNet(n_species=3, n_states=3, width=8, convolutions=3, radial_max_A=7.0, radial_step_A=0.2).eval()
    with torch.no_grad():
        # Spread the outputs, so that what a test compares is not near 1/3 everywhere.
        net.head[-1].weight *= 8
    return net


@pytest.fixture
def positions():
    return np.random.default_rng(1).uniform(0, 1, (len(SPECIES), 3)) @ CELL


def whole(distances):
    # A rotation moves a distance by 1e-15; keep that from crossing the border between two rows of the table.
    return torch.as_tensor(np.rint(np.round(distances, 9) * 1000).astype(np.int32))


def graph(positions, cell=CELL, species=SPECIES, targets=((0,), (4,)), m=6):
    """The whole graph: every atom counts as a target of all hops."""
    neighbors, distances = nearest_neighbors(positions, cell, m)
    return GraphBatch(
        torch.as_tensor(species),
        torch.as_tensor(neighbors, dtype=torch.int32),
        whole(distances),
        torch.as_tensor(targets, dtype=torch.int64),
        starts_of(np.full((1, 4), len(species))),
    )


def field(positions, targets, hops, cell=CELL, species=SPECIES, m=6):
    """Only the receptive field of the targets."""
    nodes, counts, neighbors, distances = receptive_field(positions, cell, m, targets, hops)
    return GraphBatch(
        torch.as_tensor(species[nodes]),
        torch.as_tensor(neighbors, dtype=torch.int32),
        whole(distances),
        torch.arange(len(targets))[:, None],
        starts_of(counts[None]),
    )


@pytest.mark.parametrize("targets", [[3], [4, 0], [9, 1, 5]])
def test_the_receptive_field_gives_the_same_as_the_whole_graph(network, targets):
    rng = np.random.default_rng(6)
    cell = 3 * CELL
    positions = rng.uniform(0, 1, (200, 3)) @ cell
    species = rng.integers(0, 3, 200)
    expected = network(graph(positions, cell, species, [[t] for t in targets]))
    part = field(positions, targets, 3, cell, species)
    assert part.counts[2] < 200
    torch.testing.assert_close(network(part), expected, atol=1e-6, rtol=1e-5)
    # A network of fewer convolutions finds what it needs in the same graph.
    shallow = GDyNet(n_species=3, n_states=3, width=8, convolutions=2, radial_max_A=7.0, radial_step_A=0.2).eval()
    less = field(positions, targets, 2, cell, species)
    torch.testing.assert_close(shallow(part), shallow(less), atol=1e-6, rtol=1e-5)


def test_rows_are_probabilities_that_depend_on_the_surroundings(network, positions):
    out = network(graph(positions)).detach()
    torch.testing.assert_close(out.sum(1), torch.ones(2))
    assert (out > 0).all()
    other = positions.copy()
    other[0] += 0.8
    assert (network(graph(other)) - out).abs().max() > 1e-3


def test_permutation_of_the_atoms(network, positions):
    order = np.random.default_rng(2).permutation(len(SPECIES))
    where = np.argsort(order)
    moved = graph(positions[order], species=SPECIES[order], targets=[[where[0]], [where[4]]])
    torch.testing.assert_close(network(moved), network(graph(positions)), atol=1e-6, rtol=1e-5)


def test_order_of_the_neighbors_does_not_matter(network, positions):
    ordered = graph(positions)
    shuffle = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    shuffled = ordered._replace(neighbors=ordered.neighbors[:, shuffle], distance_mA=ordered.distance_mA[:, shuffle])
    torch.testing.assert_close(network(shuffled), network(ordered), atol=1e-6, rtol=1e-5)


def test_rotation(network, positions):
    matrix, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))
    rotated = graph(positions @ matrix, CELL @ matrix)
    torch.testing.assert_close(network(rotated), network(graph(positions)), atol=1e-6, rtol=1e-5)


def test_translation_and_periodic_wrapping(network, positions):
    expected = network(graph(positions))
    torch.testing.assert_close(network(graph(positions + np.array([3.3, -7.1, 11.9]))), expected, atol=1e-6, rtol=1e-5)
    images = np.random.default_rng(4).integers(-3, 4, (len(SPECIES), 3)) @ CELL
    torch.testing.assert_close(network(graph(positions + images)), expected, atol=1e-6, rtol=1e-5)


def test_frames_in_one_batch_do_not_see_each_other(network, positions):
    other = positions + np.random.default_rng(5).normal(0, 0.4, positions.shape)
    one, two = graph(positions), graph(other)
    n = len(SPECIES)
    two_moved = two._replace(neighbors=two.neighbors + n, targets=two.targets + n)
    starts = starts_of(np.full((2, 4), n))
    both = GraphBatch(*(torch.cat(pair) for pair in zip(one[:4], two_moved[:4], strict=True)), starts)
    torch.testing.assert_close(network(both), torch.cat([network(one), network(two)]), atol=1e-6, rtol=1e-5)


def test_molecules_are_pooled_over_their_atoms(network, positions):
    with torch.no_grad():
        single = network.pool(graph(positions, targets=[[0], [3], [4]]))
        pooled = network.pool(graph(positions, targets=[[0, 3, 4], [3, 4, -1], [4, -1, -1]]))
    torch.testing.assert_close(pooled[0], single.mean(0))
    torch.testing.assert_close(pooled[1], single[1:].mean(0))
    torch.testing.assert_close(pooled[2], single[2])


def test_radial_functions_are_gaussians_without_a_factor_of_two():
    table = radial_basis(7.0, 0.2).double().numpy()
    assert table.shape == (8001, 36)
    for distance, number in ((2.345, 11), (0.0, 0), (6.9, 35), (3.0, 16)):
        expected = np.exp(-((distance - 0.2 * number) ** 2) / 0.2**2)
        assert table[round(1000 * distance), number] == pytest.approx(expected, abs=1e-7)
    assert (table[-1] == 0).all()
    assert table[-2].max() < 1e-10


def test_convolution_is_the_concatenated_form(positions):
    """Equations 2 and 3 with z_ij = v_i (+) v_j (+) u_ij built in full."""
    torch.manual_seed(1)
    width, radial = 5, radial_basis(7.0, 0.2)
    convolution = GraphConvolution(width, radial.shape[1])
    data = graph(positions)
    v = torch.randn(len(SPECIES), width)
    z = torch.cat(
        [v[:, None].expand(-1, 6, -1), v[data.neighbors], radial[data.distance_mA.clamp_max(len(radial) - 1)]], dim=-1
    )
    weight = torch.cat([convolution.atom.weight, convolution.neighbor.weight, convolution.distance.weight], dim=1)
    z = z @ weight.T + convolution.atom.bias
    alpha = torch.softmax(z[..., -1], dim=1)
    message = (alpha[..., None] * torch.relu(z[..., :-1])).sum(1)
    expected = v + torch.nn.functional.layer_norm(message, (width,), convolution.norm.weight, convolution.norm.bias)
    found = convolution(v, Edges(data.neighbors, data.distance_mA, data.starts), radial)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    edges = Edges(data.neighbors[:4], data.distance_mA[:4], np.array([[0, 4]]))
    first = convolution(v, edges, radial)
    torch.testing.assert_close(first, expected[:4], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 8, 16, 17])
def test_attention_in_one_pass_is_attention_step_by_step(width, threads):
    """Values and gradients of the compiled pass, for several frames in several threads."""
    rng = np.random.default_rng(7)
    counts = np.array([[2, 5, 9], [1, 6, 7], [3, 3, 8], [2, 4, 4], [1, 2, 3]])
    starts = starts_of(counts)
    n_nodes, n_rows = starts[-1, -1], starts[-2, -1]
    frame = np.concatenate([np.repeat(np.arange(5), np.diff(shell)) for shell in starts])
    neighbors = np.stack([rng.choice(np.flatnonzero(frame == frame[row]), 6) for row in range(n_rows)])
    neighbors = torch.from_numpy(neighbors.astype(np.int32))
    rows = torch.from_numpy(rng.integers(0, 60, (n_rows, 6)).astype(np.int32))  # some beyond the table's end
    inputs = [torch.randn(n, width + 1, dtype=torch.float64, requires_grad=True) for n in (n_rows, n_nodes, 50)]
    weights = torch.randn(n_rows, width, dtype=torch.float64)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = attend(*inputs, neighbors, rows, starts[:2])
        gradients = torch.autograd.grad((found * weights).sum(), inputs)
    finally:
        torch.set_num_threads(before)
    expected = attend_plain(*inputs, neighbors, rows)
    torch.testing.assert_close(found, expected)
    for got, true in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(got, true)


def test_a_running_norm_does_not_depend_on_the_batch(positions):
    torch.manual_seed(4)
    net = GDyNet(3, 3, 8, 3, 7.0, 0.2, normalisation="batch")
    whole_graph = graph(positions)
    for norm in net.running_norms():
        sums = norm.no_sums()
        norm.collect(sums, torch.ones(len(SPECIES)))
        net(whole_graph)
        norm.collect(None, None)
        norm.update(sums, momentum=1.0)
    first = net.running_norms()[0]
    assert sums[0].tolist() == [len(SPECIES)] * 8
    out = net(whole_graph)
    part = field(positions, [0, 4], 3)
    torch.testing.assert_close(net(part), out, atol=1e-6, rtol=1e-5)
    # What has passed through has mean 0 and variance 1 in every feature.
    seen = []
    first.register_forward_hook(lambda module, inputs, output: seen.append((output - module.bias) / module.weight))
    net(whole_graph)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[0].var(0, correction=0), torch.ones(8), atol=1e-2, rtol=0)


def test_rotation_of_the_states_is_a_linear_map_of_the_probabilities(network, positions):
    before = network(graph(positions)).detach()
    mix = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.3, 0.7]])
    network.rotate(mix)
    torch.testing.assert_close(network(graph(positions)), before @ mix, atol=1e-4, rtol=1e-3)


def test_gradients_reach_every_parameter(network, positions):
    network(graph(positions))[:, 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
