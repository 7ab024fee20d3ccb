"""A pretend GPU for the CPU build of torch: what a GPU would refuse is refused, what it would cost is counted.

Tensors say that they are on ``pretend:0`` and hold their numbers on the host::

    with pretend_gpu(capacity_bytes=1e9) as gpu:
        model = make().to("pretend")
        with gpu.counting() as step:
            one_step(model)
        assert step.syncs.total() == 0 and step.launches.total() < 300 and not step.races

Outside of ``pretend_gpu()`` torch finds no such device.

What it does not show: how fast anything is; what a kernel does when it reads and writes one tensor in many blocks at
once; what a GPU computes in another order than the host. Its backward runs in a thread of its own, as that of a GPU,
but on the stream on which ``backward`` was called, where torch takes the stream of each forward.
"""

import contextlib
import functools
import inspect
import threading
from types import SimpleNamespace

import pytest
import torch
from pretend_card import NOW, Card, Counts, Event, Stream, card, index_of
from pretend_copies import pinned_empty
from pretend_register import CASTS, LIBRARIES, register
from pretend_tensor import PretendTensor, account_kernel, mapped, on_host, tensors
from torch.optim import optimizer
from torch.utils import _foreach_utils, backend_registration

MAKERS = {
    "empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "tensor", "empty_like", "zeros_like",
    "ones_like", "full_like", "rand_like",
}  # fmt: skip


class Device:
    """Within it another device is the current one."""

    def __init__(self, device):
        self.device = device

    def __enter__(self):
        self.before = card().current_device()
        card().local.device = index_of(self.device, card())

    def __exit__(self, *_):
        card().local.device = self.before


class Module:
    """What torch.get_device_module("pretend") returns: the part of torch.cuda that portable code uses."""

    Stream, Event, device = Stream, Event, Device

    def is_available(self):
        return bool(NOW)

    def is_initialized(self):
        return bool(NOW)

    def init(self):
        card()

    def device_count(self):
        return NOW[-1].devices if NOW else 0

    def current_device(self):
        return card().current_device()

    def set_device(self, device):
        card().local.device = index_of(device, card())

    def get_device_name(self, device=None):
        return "pretend GPU"

    def get_device_capability(self, device=None):
        return 9, 0

    def get_device_properties(self, device=None):
        return SimpleNamespace(
            name="pretend GPU", total_memory=card().capacity, multi_processor_count=132, major=9, minor=0, warp_size=32,
            max_threads_per_multi_processor=2048, shared_memory_per_multiprocessor=233472, L2_cache_size=52428800,
        )  # fmt: skip

    def mem_get_info(self, device=None):
        return card().capacity - self.memory_allocated(device), card().capacity

    def memory_allocated(self, device=None):
        return card().memory(index_of(device, card()))

    memory_reserved = memory_allocated

    def max_memory_allocated(self, device=None):
        card().memory()
        return card().peak[index_of(device, card())]

    max_memory_reserved = max_memory_allocated

    def reset_peak_memory_stats(self, device=None):
        index = index_of(device, card())
        card().peak[index] = card().memory(index)

    def memory_stats(self, device=None):
        now, most = self.memory_allocated(device), self.max_memory_allocated(device)
        return {"allocated_bytes.all.current": now, "allocated_bytes.all.peak": most, "num_ooms": 0}

    def empty_cache(self):
        pass

    def synchronize(self, device=None):
        card().wait_for_all("synchronize")

    def current_stream(self, device=None):
        return card().current(index_of(device, card()))

    def default_stream(self, device=None):
        return card().default[index_of(device, card())]

    def set_stream(self, stream):
        card().choose(stream)

    @contextlib.contextmanager
    def stream(self, stream):
        with stream or contextlib.nullcontext():
            yield

    def manual_seed_all(self, seed):
        for generator in NOW[-1].generators if NOW else ():
            generator.manual_seed(seed)

    def manual_seed(self, seed):
        card().generators[card().current_device()].manual_seed(seed)

    def initial_seed(self):
        return card().generators[card().current_device()].initial_seed()

    def get_rng_state(self, device=None):
        return card().generators[index_of(device, card())].get_state()

    def set_rng_state(self, state, device=None):
        card().generators[index_of(device, card())].set_state(state)

    def is_bf16_supported(self, including_emulation=True):
        return True

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]

    def _is_in_bad_fork(self):
        return False


class Hook(torch._C._acc.PrivateUse1Hooks):
    def is_available(self):
        return bool(NOW)

    def has_primary_context(self, index):
        return bool(NOW)

    def is_built(self):
        return True


def start():
    """Tell torch of the device, once."""
    if LIBRARIES:
        return
    if torch.cuda.is_available():  # torch knows one accelerator: this process would lose the real one
        pytest.skip("there is a GPU: no need to pretend", allow_module_level=True)
    # Where torch finds a device at its first backward, it starts threads, and no forked process can go backward then.
    torch.ones((), requires_grad=True).backward()
    backend_registration._setup_privateuseone_for_python_backend("pretend", MODULE, Hook())
    register()
    for module in (optimizer, _foreach_utils):
        if PretendTensor not in module._foreach_supported_types:
            module._foreach_supported_types.append(PretendTensor)


class Gpu:
    """What a test has in its hands."""

    def __init__(self, card):
        self.card, self.module, self.device = card, MODULE, torch.device("pretend", 0)

    def __getattr__(self, name):
        return getattr(self.card.counts, name)

    @contextlib.contextmanager
    def counting(self):
        """Counts of what is done within, by all threads."""
        counts = Counts(self.card)
        self.card.listening.append(counts)
        try:
            yield counts
            self.card.look()
        finally:
            self.card.listening.remove(counts)

    def kernel(self, function=None, *, writes=None, name=None, nbytes=None):
        """A function of the host's tensors, as one launch on the pretend GPU.

        Parameters
        ----------
        function : changes its arguments in place, or returns new tensors.
        writes : names of the arguments that it changes; without it, those whose numbers have changed.
        name : under which it is counted; without it, the function's.
        nbytes : a function of the same arguments, the bytes that it reads and writes; without it, those of all tensors.
        """
        if function is None:
            return functools.partial(self.kernel, writes=writes, name=name, nbytes=nbytes)
        signature, name = inspect.signature(function), name or function.__name__

        @functools.wraps(function)
        def launch(*args, **kwargs):
            given = [tensor for tensor in tensors((args, kwargs))]
            for tensor in given:
                if not isinstance(tensor, PretendTensor):
                    raise ValueError(f"{name}: a tensor is on {tensor.device}: a kernel reads no memory of the host")
            bound = signature.bind(*args, **kwargs).arguments
            before = None if writes is not None else [checksum(tensor) for tensor in given]
            with torch.no_grad():
                out = function(*mapped(args, on_host), **mapped(kwargs, on_host))
            if writes is not None:
                changed = list(tensors([bound[argument] for argument in writes if argument in bound]))
            else:
                changed = [tensor for tensor, old in zip(given, before, strict=True) if checksum(tensor) != old]
            return account_kernel(card(), name, given, changed, out, nbytes and nbytes(*args, **kwargs))

        return launch


def checksum(tensor):
    return hash(tensor.inner.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def in_a_thread(run, *args, **kwargs):
    """The backward: in a thread of its own, as torch does it for a GPU, on the stream of the one who asked for it."""
    done = []
    streams, device = dict(getattr(card().local, "streams", {})), card().current_device()

    def work():
        card().local.streams, card().local.device = streams, device
        try:
            with torch.autograd.set_multithreading_enabled(False):
                done.append((True, run(*args, **kwargs)))
        except BaseException as error:
            done.append((False, error))

    thread = threading.Thread(target=work, name="backward of the pretend GPU")
    thread.start()
    thread.join()
    went_well, result = done[0]
    if went_well:
        return result
    raise result


def pinning(make):
    """A function that makes tensors, with pin_memory."""

    def made(*args, pin_memory=False, **kwargs):
        new = make(*args, **kwargs)
        if not pin_memory:
            return new
        if new.device.type != "cpu":
            raise RuntimeError("Only dense CPU tensors can be pinned")
        requires_grad = new.requires_grad
        return pinned_empty(new.shape, new.dtype).copy_(new.detach()).requires_grad_(requires_grad)

    return made


@contextlib.contextmanager
def replaced(*changes):
    """Attributes of modules, changed as long as it lasts."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    try:
        for owner, name, new in changes:
            setattr(owner, name, new)
        yield
    finally:
        for owner, name, old in before:
            setattr(owner, name, old)


def changes():
    run, forget = torch.autograd.graph._engine_run_backward, torch.clear_autocast_cache
    backward = functools.partial(in_a_thread, run)
    yield torch.autograd, "_engine_run_backward", backward
    yield torch.autograd.graph, "_engine_run_backward", backward
    yield torch, "clear_autocast_cache", lambda: (CASTS.clear(), forget())[1]
    for name in MAKERS:
        yield torch, name, pinning(getattr(torch, name))
    for name in ("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor"):
        yield torch.Tensor, name, pinning(getattr(torch.Tensor, name))
    yield torch, "Stream", Stream
    yield torch, "Event", Event
    for name in ("synchronize", "current_stream", "set_stream", "memory_allocated", "max_memory_allocated",
                 "memory_reserved", "max_memory_reserved", "reset_peak_memory_stats", "memory_stats",
                 "empty_cache"):  # fmt: skip
        yield torch.accelerator, name, getattr(MODULE, name)
    yield torch.accelerator, "get_memory_info", MODULE.mem_get_info


@contextlib.contextmanager
def pretend_gpu(capacity_bytes=80e9, devices=1):
    """A pretend GPU as long as it lasts.

    Parameters
    ----------
    capacity_bytes : memory of each device; what goes beyond it raises torch.OutOfMemoryError.
    devices : how many there are.
    """
    if NOW:
        raise RuntimeError("a pretend GPU is on already")
    NOW.append(Card(capacity_bytes, devices))
    try:
        with replaced(*changes()):
            yield Gpu(card())
            card().wait_for_all(None)
    finally:
        CASTS.clear()
        NOW.clear()


@pytest.fixture
def pretend():
    with pretend_gpu() as gpu:
        yield gpu


MODULE = Module()
start()
