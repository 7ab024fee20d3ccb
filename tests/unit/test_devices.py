"""What a GPU would refuse or round, shown on a CPU: tensors of two devices, and other arithmetics."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gdyn.config.models import Splits
from gdyn.graphs.dataset import GraphDataset
from gdyn.networks.arithmetic import arithmetic
from gdyn.networks.gdynet import GDyNet
from gdyn.networks.vampnet import VAMPnet


class Elsewhere(torch.Tensor):
    """A tensor that says it is on another device, holds its numbers here, and mixes with none of another one."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype, device="meta")

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        copies = function._schema.name.split("::")[1] in ("copy_", "_to_copy")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if not copies and not all(isinstance(one, cls) or not one.dim() for one in tensors):
            raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices")
        here, inner = kwargs.get("device"), tree_map(lambda one: one.inner if isinstance(one, cls) else one, args)
        out = function(*inner, **kwargs)
        if function._schema.is_mutable:
            return args[0]
        if here is not None and here.type == "cpu":
            return out
        return tree_map(lambda one: cls(one) if isinstance(one, torch.Tensor) else one, out)


def small_network(n_states=2):
    torch.manual_seed(3)
    return GDyNet(2, n_states, 8, 1, radial_max_A=7.0, radial_step_A=0.2)


def test_states_are_rotated_where_the_network_is():
    network = small_network()
    network.rotation = Elsewhere(network.rotation)
    for matrix in (np.array([[0.9, 0.1], [0.2, 0.8]]), np.eye(2)[:, ::-1]):
        network.rotate(matrix)
    expected = np.array([[0.9, 0.1], [0.2, 0.8]])[:, ::-1]
    np.testing.assert_allclose(network.rotation.inner.numpy(), expected, atol=1e-7)


class TenBits(TorchDispatchMode):
    """Matrix products as in tf32: of what they multiply, 10 bits are left."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.bmm):
            args = [self.rounded(a) if isinstance(a, torch.Tensor) and a.dtype == torch.float32 else a for a in args]
        return function(*args, **(kwargs or {}))

    @staticmethod
    def rounded(values):
        return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.fixture
def graphs(two_state_shards):
    data = GraphDataset.load(two_state_shards[1], Splits(), "train")
    return data.batch(np.arange(len(data)), 1)


def rotated(network):
    network.rotate(np.array([[1.1, -0.1], [-0.3, 1.3]]))
    return network.eval()


@torch.no_grad()
def test_other_arithmetics_leave_as_many_probabilities(graphs):
    """Logits, softmax and rotation in 8 or 10 bits would leave some hundred values of all that there are."""
    network = rotated(small_network())
    exact = network(graphs)
    with TenBits():
        tf32 = network(graphs)
    with arithmetic(torch.device("cpu"), "bfloat16"):
        bfloat16 = network(graphs)
    many = len(exact[:, 0].unique())
    assert many > 500
    for found, bits in ((tf32, 10), (bfloat16, 8)):
        assert found.dtype == torch.float32
        assert len(found[:, 0].unique()) > 0.5 * many
        assert 0 < (found - exact).abs().max() < 2.0 ** (4 - bits)


@torch.no_grad()
def test_a_vampnet_too():
    torch.manual_seed(4)
    network = rotated(VAMPnet(12, 2, 32, 2))
    batch = type("Batch", (), {"features": torch.randn(4000, 12)})
    many = len(network(batch)[:, 0].unique())
    with arithmetic(torch.device("cpu"), "bfloat16"):
        assert len(network(batch)[:, 0].unique()) > 0.5 * many


def test_an_arithmetic_ends_with_its_block():
    for precision, inside in (("tf32", "high"), ("bfloat16", "high"), ("float32", "highest")):
        with arithmetic(torch.device("cpu"), precision):
            assert torch.get_float32_matmul_precision() == inside
            assert torch.is_autocast_enabled("cpu") == (precision == "bfloat16")
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.is_autocast_enabled("cpu")
