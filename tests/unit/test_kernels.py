"""The kernels for GPUs, by Triton's interpreter, against the same in plain torch and against the network on a CPU."""

from itertools import chain

import numpy as np
import plain_kernels
import pytest
import torch
from interpreted import Interpreted

from gdyn.graphs.gather import gather, starts_of
from gdyn.kernels.convolve import Precision, Weights, convolve
from gdyn.kernels.layout import (
    SENTINEL,
    Edges,
    Incoming,
    Norm,
    frames_table,
    longest_stretch,
    programs,
    row_stride,
    unsigned,
)
from gdyn.networks.convolution import GraphConvolution, radial_basis

pytest.importorskip("triton", reason="Triton is not installed, so that its kernels cannot be interpreted")

N, UPDATED, EPS = 23, 14, 1e-5
RADIAL = radial_basis(0.3, 0.05)
CASES = [(m, w) for m in (1, 7, 12, 20) for w in (8, 16, 24)]


@pytest.fixture(scope="module")
def interpreted():
    launchers = Interpreted()
    yield launchers
    launchers.pool.shutdown()


def case(m, w, n=UPDATED, nodes=N, dtype=torch.float32, norm=True, seed=0):
    """Arguments of all launchers by name, those that are written full of NaN; some nodes are nobody's neighbors."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    def empty(*shape, dtype=torch.float32):
        return torch.full(shape, float("nan"), dtype=dtype)

    stride, of_gradient, p = row_stride(w, dtype), row_stride(w), 3
    neighbors = torch.randint(0, max(1, nodes - 3), (n, m), generator=generator, dtype=torch.int32)
    rows = torch.randint(0, len(RADIAL) + 200, (n, m), generator=generator, dtype=torch.int32)
    order = neighbors.flatten().argsort(stable=True)
    ends = torch.bincount(neighbors.flatten(), minlength=nodes).cumsum(0)
    sums = empty(p, 2 * (w + 1) * w + (w + 1) + (w + 1) * RADIAL.shape[1] + 2 * w)  # slices of one tensor
    sizes = [2 * (w + 1) * w + (w + 1), (w + 1) * RADIAL.shape[1], 2 * w]
    of_weights, of_distance, of_norm = sums.split(sizes, 1)
    features = random(nodes, w)
    return {
        "features": features, "receiver_weight": random(w + 1, w) / w**0.5, "receiver_bias": random(w + 1),
        "sender_weight": random(w + 1, w) / w**0.5, "weight": random(w + 1, RADIAL.shape[1]), "radial": RADIAL,
        "receiver": empty(n, stride, dtype=dtype), "sender": empty(nodes, stride, dtype=dtype),
        "table": empty(len(RADIAL), stride, dtype=dtype), "neighbors": neighbors, "rows": rows,
        "begin": torch.cat([torch.zeros(1), ends[:-1]]).int(), "end": ends.int(), "incoming": order.int(),
        "attention": empty(n, m), "messages": empty(n, w), "gradient": random(n, w),
        "norm": Norm(features, random(w), random(w), EPS, empty(n, w)) if norm else None,
        "grad_messages": empty(n, w), "grad_receiver": empty(n, of_gradient), "grad_logit": empty(n, m),
        "grad_sender": empty(nodes, of_gradient), "residual": random(n, w) if norm else None,
        "grad_features": empty(nodes, w), "partial": of_distance.unflatten(1, (w + 1, -1)),
        "partial_norm": of_norm.unflatten(1, (2, w)) if norm else None, "partial_weights": of_weights,
    }  # fmt: skip


ARGUMENTS = {
    "project": "features receiver_weight receiver_bias sender_weight receiver sender",
    "tabulate": "radial weight table",
    "attend": "receiver sender table neighbors rows attention messages norm",
    "attend_backward": "receiver sender table radial neighbors rows attention messages gradient norm grad_messages "
    "grad_receiver grad_logit partial partial_norm",
    "send_backward": "receiver sender table rows begin end incoming attention grad_messages grad_logit grad_sender",
    "project_backward": "features receiver_weight sender_weight grad_receiver grad_sender residual grad_features "
    "partial_weights",
}
WRITTEN = {
    "project": "receiver sender",
    "tabulate": "table",
    "attend": "attention messages",
    "attend_backward": "grad_messages grad_receiver grad_logit partial partial_norm",
    "send_backward": "grad_sender",
    "project_backward": "grad_features partial_weights",
}


def launch(library, name, values):
    getattr(library, name)(*(values[one] for one in ARGUMENTS[name].split()))


def exactly(values):
    """The same numbers in float64."""

    def wide(one):
        if isinstance(one, torch.Tensor):
            return one.double() if one.dtype in (torch.float32, torch.bfloat16) else one
        return Norm(*map(wide, one)) if isinstance(one, tuple) else one

    return {name: wide(one) for name, one in values.items()}


def error(found, exact):
    """Relative to the size of all, or to 1 if they are smaller; nothing of the found may be left unwritten."""
    assert bool(torch.isfinite(found).all())
    return float((found.double() - exact).norm() / exact.norm().clamp_min(1.0))


def errors(interpreted, values):
    """Of all that each launcher writes, each against float64 of what it read."""
    found = {}
    for name in ARGUMENTS:
        exact = exactly(values)
        launch(interpreted, name, values)
        launch(plain_kernels, name, exact)
        written = {one: (values[one], exact[one]) for one in WRITTEN[name].split() if values[one] is not None}
        if name == "attend" and values["norm"]:
            written["out"] = values["norm"].out, exact["norm"].out
        found |= {f"{name} {one}": error(*pair) for one, pair in written.items()}
    return found


@pytest.mark.parametrize(("m", "w"), CASES)
def test_every_kernel_computes_what_plain_operations_do_in_float64(interpreted, m, w):
    found = errors(interpreted, case(m, w))
    assert max(found.values()) < 1e-6, found


@pytest.mark.parametrize(("n", "nodes"), [(1, 1), (1, 9), (9, 9)])
@pytest.mark.parametrize("norm", [True, False])
def test_one_target_all_nodes_updated_and_no_norm(interpreted, n, nodes, norm):
    found = errors(interpreted, case(5, 15, n, nodes, norm=norm))
    assert max(found.values()) < 1e-6, found


@pytest.mark.parametrize(("m", "w", "n", "nodes"), [(3, 16, 70, 80), (9, 40, 5, 40)])
def test_programs_that_do_several_blocks_and_wide_features(interpreted, m, w, n, nodes):
    found = errors(interpreted, case(m, w, n, nodes))
    assert max(found.values()) < 1e-6, found


def test_rows_of_8_bits_of_mantissa(interpreted):
    values = case(12, 16, dtype=torch.bfloat16)
    found = errors(interpreted, values)
    for name, most in found.items():  # what is not rounded to bfloat16 is exact
        assert most < (4e-3 if name.split()[0] in ("project", "tabulate") else 1e-6), (name, most)
    exact = case(12, 16)
    for name in ARGUMENTS:
        launch(plain_kernels, name, exact)
    assert error(values["messages"], exact["messages"].double()) < 1e-2
    assert error(values["grad_features"], exact["grad_features"].double()) < 5e-2


def test_nan_stays_nan(interpreted):
    values = case(7, 16, norm=False)
    for name in ("project", "tabulate"):
        launch(plain_kernels, name, values)
    values["receiver"][3, 2] = float("nan")
    launch(interpreted, "attend", values)
    assert values["messages"][3].isnan().tolist() == [f == 2 for f in range(16)]


def test_edges_beyond_the_updated_and_sentinels_are_skipped(interpreted):
    values = case(7, 16)
    for name in ("project", "tabulate", "attend", "attend_backward", "send_backward"):
        launch(plain_kernels, name, values)
    expected = values["grad_sender"].clone()
    sizes = (values["end"] - values["begin"]).tolist()
    lists = [[*one.tolist(), UPDATED * 7 + k, SENTINEL] for k, one in enumerate(values["incoming"].split(sizes))]
    values["incoming"] = torch.tensor([*chain(*lists)], dtype=torch.int32)
    values["end"] = torch.tensor([len(one) for one in lists]).cumsum(0).int()
    values["begin"] = values["end"] - torch.tensor([len(one) for one in lists]).int()
    values["grad_sender"].fill_(float("nan"))
    launch(interpreted, "send_backward", values)
    torch.testing.assert_close(values["grad_sender"], expected)


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
@pytest.mark.parametrize(("m", "w"), [(1, 16), (7, 8), (12, 24), (20, 16)])
def test_the_kernels_one_after_the_other_are_the_layer_of_the_network(interpreted, m, w, normalisation):
    """By the interpreter, as training calls them, beside the layer as a CPU computes it."""
    torch.manual_seed(1)
    layer = GraphConvolution(w, RADIAL.shape[1], normalisation)
    torch.nn.init.normal_(layer.norm.weight)
    values = case(m, w)
    lists = Incoming(values["begin"], values["end"], values["incoming"])
    edges = Edges(values["neighbors"], values["rows"], np.array([[0, UPDATED]]), lists)
    norm = (layer.norm.weight, layer.norm.bias) if normalisation == "layer" else (None, None)
    weights = Weights(layer.atom.weight, layer.atom.bias, layer.neighbor.weight, layer.distance.weight, *norm)
    results = []
    for way in ("kernels", "numba"):
        features = values["features"].clone().requires_grad_()
        if way == "numba":
            out = layer(features, edges, RADIAL)
        else:
            out = convolve(interpreted, features, weights, 1e-5, edges, RADIAL, Precision())
            out = out if normalisation == "layer" else features[:UPDATED] + layer.norm(out)
        gradients = torch.autograd.grad((out * values["gradient"]).sum(), [features, *layer.parameters()])
        results.append([out.detach(), *gradients])
    found = [error(ours, theirs.double()) for ours, theirs in zip(*results, strict=True)]
    assert max(found) < 1e-6, found


def test_distances_may_be_the_bits_of_16(interpreted):
    """Beyond 32.767 A the number is negative, but not the distance."""
    wide, narrow = case(7, 8), case(7, 8)
    wide["rows"][:3] = torch.tensor([40000, 65535, 32768])[:, None]
    narrow["rows"] = torch.from_numpy(wide["rows"].numpy().astype(np.uint16).view(np.int16))
    for values in (wide, narrow):
        for name in ARGUMENTS:
            launch(interpreted, name, values)
    for name in " ".join(WRITTEN.values()).split():
        assert torch.equal(wide[name], narrow[name]), name


def test_what_comes_out_does_not_depend_on_chance(interpreted):
    one, two = case(7, 8), case(7, 8)
    for values in (one, two):
        for name in ARGUMENTS:
            launch(interpreted, name, values)
    for name in " ".join(WRITTEN.values()).split():
        assert torch.equal(one[name], two[name]), name


def resident(rng, n_frames, hops, m, narrow):
    """Graphs of some frames, one after the other, and their lists of edges by the node to which they point."""
    counts = np.cumsum(rng.integers(1, 9, (n_frames, hops + 1)), axis=1)
    kind = np.uint16 if narrow else np.int32
    species = rng.integers(0, 3, counts[:, -1].sum()).astype(np.uint8 if narrow else np.int32)
    neighbors, incoming, begins = [], [], []
    for count in counts:
        most = np.repeat(count[1:], np.diff(count[:-1], prepend=0))
        local = rng.integers(0, most[:, None], (len(most), m))
        neighbors.append(local.astype(kind))
        lists = [[e for e in range(local.size) if local.flat[e] == node] for node in range(count[-1])]
        begins.append(np.cumsum([0, *map(len, lists)])[:-1])
        incoming.append(np.array([*chain(*lists)], np.int32))
    neighbors = np.concatenate(neighbors)
    distance_mA = rng.integers(0, 65536 if narrow else 10**6, neighbors.shape).astype(kind)
    return counts, species, neighbors, distance_mA, np.concatenate(incoming), np.concatenate(begins)


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize(("hops", "stored"), [(1, 1), (1, 3), (2, 3), (3, 3)])
@pytest.mark.parametrize("library", ["interpreted", "plain"])
def test_gather_is_that_of_the_host_and_lists_every_edge_once(interpreted, library, hops, stored, narrow, monkeypatch):
    rng, m = np.random.default_rng(hops + stored), 5
    all_counts, species, neighbors, distance_mA, incoming, begins = resident(rng, 4, stored, m, narrow)
    node_start, row_start = (np.cumsum(one) - one for one in (all_counts[:, -1], all_counts[:, -2]))
    frames = np.array([2, 0, 3, 2])
    counts = all_counts[frames, : hops + 1]
    starts, places = starts_of(counts), (node_start[frames], row_start[frames])
    expected = gather((species, neighbors, distance_mA), *places, counts, starts)
    stored_nodes, stored_rows = all_counts[frames, -1], all_counts[frames, -2]
    table = torch.from_numpy(frames_table(*places, counts, starts, stored_nodes, stored_rows, m))
    found = [torch.full_like(one, -7) for one in expected]
    found[2] = found[2].short() if narrow else found[2]
    lists = torch.full((stored_rows.sum() * m,), -7, dtype=torch.int32)
    begin, end = (torch.full((len(expected[0]),), -7, dtype=torch.int32) for _ in range(2))
    bits = [torch.from_numpy(one.view(np.int16) if narrow else one) for one in (neighbors, distance_mA)]
    (interpreted if library == "interpreted" else plain_kernels).gather(
        torch.from_numpy(species), *bits, torch.from_numpy(incoming), torch.from_numpy(begins).int(), table,
        longest_stretch(counts, stored_rows, m), *found, lists, begin, end
    )  # fmt: skip
    found[2] = unsigned(found[2])
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)
    edges = expected[1].flatten()
    for node in range(len(begin)):
        listed = lists[begin[node] : end[node]]
        assert listed[listed != SENTINEL].tolist() == (edges == node).nonzero().flatten().tolist()
    assert ((lists >= 0) & ((lists < len(edges)) | (lists == SENTINEL))).all()
    if hops == stored:
        assert sorted(lists.tolist()) == list(range(len(edges)))


def test_a_batch_of_more_edges_than_31_bits_can_number_is_refused():
    one = np.array([2**27])
    with pytest.raises(OverflowError, match="2684354560 edges"):
        frames_table(one, one, np.array([[1, 2]]), np.array([[0, 1], [1, 2]]), one, one, 20)


def test_rows_are_multiples_of_16_bytes_and_programs_do_not_depend_on_the_device():
    assert [row_stride(w) for w in (8, 15, 16, 24)] == [12, 16, 20, 28]
    assert [row_stride(w, torch.bfloat16) for w in (8, 15, 16)] == [16, 16, 24]
    assert [programs(n) for n in (0, 1, 8, 9, 8448, 10**6)] == [1, 1, 1, 2, 1056, 1056]
