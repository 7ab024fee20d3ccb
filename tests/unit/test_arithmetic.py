"""What other arithmetics than a CPU's would round, shown on a CPU."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gdyn.config.models import Splits
from gdyn.graphs.dataset import GraphDataset
from gdyn.networks.arithmetic import arithmetic
from gdyn.networks.gdynet import GDyNet
from gdyn.networks.vampnet import VAMPnet


def small_network(n_states=2):
    torch.manual_seed(3)
    return GDyNet(2, n_states, 8, 1, radial_max_A=7.0, radial_step_A=0.2)


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
