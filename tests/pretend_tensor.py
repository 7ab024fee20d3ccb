"""Tensors that say they are on the pretend GPU (pretend_gpu.py), and what becomes of each operation on them."""

import copy
import re

import torch
from pretend_card import Memory, card, index_of
from pretend_copies import Copy, is_pinned, pinned_empty, span
from pretend_ops import INDEXING, WAITING, known, launches

CPU = torch.device("cpu")


class PretendTensor(torch.Tensor):
    """``inner`` has the numbers, on the host; ``memory`` is shared by all that have its storage."""

    __slots__ = ("inner", "memory")
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner, memory):
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device("pretend", memory.device),
        )  # fmt: skip

    def __init__(self, inner, memory):
        self.inner, self.memory = inner, memory

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def __repr__(self):
        return f"pretend({self.inner})"

    def __format__(self, spec):
        return format(self.item(), spec) if self.dim() == 0 else object.__format__(self, spec)

    def __reduce_ex__(self, protocol):
        raise TypeError("a tensor on the GPU is to be saved: move it to the host first, else no other machine reads it")

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user support the deepcopy protocol at the moment"
            )
        with torch.no_grad():
            new = self.detach().clone()
        new.requires_grad_(self.requires_grad)
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self.grad is not None:
            new.grad = copy.deepcopy(self.grad, memo)
        return new

    def _data(self, new):
        if not isinstance(new, PretendTensor):
            raise RuntimeError("incompatible tensor type: a tensor on the GPU takes no data from the host")
        torch.Tensor.data.__set__(self, new)
        self.inner, self.memory = new.inner, new.memory

    data = property(torch.Tensor.data.__get__, _data)

    def data_ptr(self):
        """An address that is the device's: nothing is there on the host."""
        return self.memory.address + self.storage_offset() * self.element_size()

    def tolist(self):
        return self.detach().cpu().tolist()

    def record_stream(self, stream):
        self.memory.recorded.add(stream.stream_id)

    def is_pinned(self, device=None):
        return False

    def pin_memory(self, device=None):
        raise RuntimeError("cannot pin a tensor on the GPU: only dense CPU tensors can be pinned")


def tensors(tree):
    """All tensors among arguments or results."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            yield from tensors(part)
    elif isinstance(tree, dict):
        yield from tensors(list(tree.values()))


def mapped(tree, change):
    if isinstance(tree, (list, tuple)):
        parts = [mapped(part, change) for part in tree]
        if hasattr(tree, "_fields"):  # a NamedTuple
            return type(tree)(*parts)
        return parts if type(tree) is list else tuple(parts)
    if isinstance(tree, dict):
        return {key: mapped(value, change) for key, value in tree.items()}
    return change(tree)


def on_host(value):
    if isinstance(value, PretendTensor):
        return value.inner
    return CPU if isinstance(value, torch.device) and value.type == "pretend" else value


def run(func, args, kwargs):
    """Do an operation on the host, and account for what the device would do."""
    here, op = card(), known(func)
    given = list(tensors((args, kwargs)))
    devices = {tensor.device for tensor in given if isinstance(tensor, PretendTensor)}
    wanted = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if op.name == "copy_":
        return copy_into(here, *args, **kwargs)
    if op.name == "_to_copy" and wanted is not None and wanted not in devices:
        return copy_to(here, args[0], wanted, kwargs)
    if wanted is not None and wanted.type == "cpu":
        kwargs = {**kwargs, "pin_memory": False}
        return func(*mapped(args, on_host), **mapped(kwargs, on_host))
    if wanted is not None and wanted.type == "pretend":
        devices.add(torch.device("pretend", index_of(wanted, here)))
    args, masks = same_device(here, op, args, given, devices)
    device = next(iter(devices)).index
    if kwargs.get("pin_memory"):
        raise RuntimeError("Only dense CPU tensors can be pinned")
    inner_args, inner_kwargs = mapped(args, on_host), mapped(kwargs, on_host)
    if op.generator and kwargs.get("generator") is not None:
        raise RuntimeError("Expected a 'pretend' device type for generator but found 'cpu'")
    if op.generator:
        inner_kwargs["generator"] = here.generators[device]
    if op.random:
        with torch.random.fork_rng(devices=()):
            torch.set_rng_state(here.generators[device].get_state())
            out = func(*inner_args, **inner_kwargs)
            here.generators[device].set_state(torch.get_rng_state())
    else:
        out = computed(here, func, inner_args, inner_kwargs, device)
    return account(here, op, args, kwargs, out, device, masks)


def computed(here, func, args, kwargs, device):
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        asked = re.search(r"you tried to allocate (\d+) bytes", str(error))
        if asked:
            raise here.full(device, int(asked[1])) from None
        raise


def same_device(here, op, args, given, devices):
    """Refuse to mix devices where torch does.

    Returns
    -------
    The arguments, with indices that lie on the host copied to the device, and how many masks become indices.
    """
    hosts = [tensor for tensor in given if not isinstance(tensor, PretendTensor)]
    indices, masks = [], 0
    if op.name in INDEXING:
        indices = [index for index in args[1] if index is not None]
        masks = sum(index.dtype in (torch.bool, torch.uint8) for index in indices)
        if op.name != "index" and len(args) > 2 and args[2].numel() == 1 and masks == len(indices) == 1:
            masks = 0  # torch fills what is masked
        for _ in range(masks):
            here.wait_for("index by a mask", here.current(next(iter(devices)).index))
    writes = [part for at in op.written if isinstance(at, int) and at < len(args) for part in tensors(args[at])]
    for host in hosts:
        if any(host is index for index in indices) and isinstance(args[0], PretendTensor):
            continue
        if host.dim() == 0 and op.takes_numbers and not any(host is written for written in writes):
            continue
        devices = devices | {host.device}
    if len(devices) > 1:
        one, other = sorted(map(str, devices), reverse=True)[:2]
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {one} and {other}! "
            f"(in {op.name})"
        )
    if any(not isinstance(index, PretendTensor) for index in indices):
        device = next(iter(devices))
        moved = [None if i is None or isinstance(i, PretendTensor) else copy_to(here, i, device, {}) for i in args[1]]
        args = (args[0], [i if m is None else m for i, m in zip(args[1], moved, strict=True)], *args[2:])
    return args, masks


def wrapped(here, tensor, device, memories):
    """A pretend tensor for a result on the host; one that shares its storage shares the memory."""
    storage = tensor.untyped_storage()
    memory = memories.get(storage._cdata)
    if memory is None:
        memory = Memory(here, device, storage.nbytes(), here.current(device).stream_id)
        memories[storage._cdata] = memory
    return PretendTensor(tensor, memory)


def account(here, op, args, kwargs, out, device, masks=0):
    """Count what was done, look for races, and give the results back as pretend tensors."""
    stream = here.current(device)
    gpu = [tensor for tensor in tensors((args, kwargs)) if isinstance(tensor, PretendTensor)]
    written = [
        tensor
        for at in op.written
        for tensor in tensors(args[at] if isinstance(at, int) and at < len(args) else kwargs.get(at))
        if isinstance(tensor, PretendTensor)
    ]
    for tensor in written:
        keep_up(here, tensor, device)
    memories = {tensor.inner.untyped_storage()._cdata: tensor.memory for tensor in gpu}
    same = {id(tensor.inner): tensor for tensor in gpu}
    results = list(tensors(out))
    fresh = [tensor for tensor in results if id(tensor) not in same]
    views = bool(fresh) and not op.mutates and all(t.untyped_storage()._cdata in memories for t in fresh)

    def given_back(value):
        if not isinstance(value, torch.Tensor):
            return value
        known_as = same.get(id(value))
        return wrapped(here, value, device, memories) if known_as is None else known_as

    out = mapped(out, given_back)
    made = [tensor for tensor in tensors(out) if id(tensor.inner) not in same]
    with here.lock:
        if not (op.free or views) and (not results or any(tensor.numel() for tensor in results)):
            read = [] if op.overwrites else written
            nbytes = sum(tensor.inner.nbytes for tensor in [*gpu, *made, *read])
            here.launch(op.name, stream, nbytes, launches(op, *mapped((args, kwargs), on_host), masks))
            touch(here, op.name, gpu, [*made, *written], stream)
        elif op.name in WAITING:
            here.launch(op.name, stream, 0, 0)
            touch(here, op.name, gpu, [], stream)
    waits = op.name in WAITING and not (op.name == "repeat_interleave" and kwargs.get("output_size") is not None)
    if waits or (op.checks and kwargs.get("check_errors")):
        here.wait_for(op.name, stream)
    return out


def account_kernel(here, name, given, changed, out, nbytes=None):
    """The same for a kernel of one's own: one launch."""
    device = given[0].device.index if given else here.current_device()
    stream = here.current(device)
    memories = {tensor.inner.untyped_storage()._cdata: tensor.memory for tensor in given}
    out = mapped(
        out, lambda value: wrapped(here, value, device, memories) if isinstance(value, torch.Tensor) else value
    )
    made = list(tensors(out))
    with here.lock:
        sizes = {(t.inner.data_ptr(), t.shape, t.stride(), t.dtype): t.inner.nbytes for t in [*given, *made]}
        here.launch(name, stream, sum(sizes.values()) if nbytes is None else nbytes)
        touch(here, name, given, [*changed, *made], stream)
    return out


def keep_up(here, tensor, device):
    """Give a tensor the shape that its numbers have, as after out= into an empty one, or t_()."""
    inner = tensor.inner
    if tensor.shape == inner.shape and tensor.stride() == inner.stride():
        return
    if inner.untyped_storage().nbytes() > tensor.memory.nbytes:
        tensor.memory = Memory(here, device, inner.untyped_storage().nbytes(), here.current(device).stream_id)
    torch.Tensor.data.__set__(tensor, PretendTensor(inner, tensor.memory))


def touch(here, name, read, written, stream):
    for tensor in read:
        here.touch(tensor.memory, span(tensor.inner), False, stream, name)
    for tensor in written:
        here.touch(tensor.memory, span(tensor.inner), True, stream, name)


def copy_into(here, to, source, non_blocking=False):
    """copy_, between devices or not."""
    if not isinstance(to, PretendTensor):
        download(here, source, to, non_blocking)
    elif not isinstance(source, PretendTensor):
        upload(here, source, to, non_blocking)
    else:
        to.inner.copy_(source.inner)
        if to.numel():
            stream = here.current(source.device.index)
            with here.lock:
                here.launch("copy_", stream, to.inner.nbytes + source.inner.nbytes)
                touch(here, "copy_", [source], [to], stream)
    return to


def copy_to(here, source, device, kwargs):
    """A copy on another device. One that goes to the host without blocking is pinned there, as torch's is."""
    like, non_blocking = kwargs.get("dtype") or source.dtype, kwargs.get("non_blocking", False)
    inner = on_host(source)
    new = torch.empty_like(inner, dtype=like, memory_format=kwargs.get("memory_format") or torch.preserve_format)
    if device.type == "cpu" and non_blocking:
        pinned = pinned_empty(new.shape, like)
        new = pinned if new.is_contiguous() else pinned.view(-1).as_strided(new.shape, new.stride())
    elif device.type == "pretend":
        new = wrapped(here, new, index_of(device, here), {})
    return copy_into(here, new, source, non_blocking)


def download(here, source, to, non_blocking):
    stream = here.current(source.device.index)
    if not to.numel():
        return
    direct = non_blocking and is_pinned(to) and (to.is_contiguous() or to.stride() == source.inner.stride())
    with here.lock:
        here.meet(to, stream, "a copy to the host", writes=True)
        tick = here.launch("copy to host", stream, source.inner.nbytes + to.nbytes)
        touch(here, "a copy to the host", [source], [], stream)
        if direct:
            here.copies.append(Copy(stream.stream_id, tick, to, source.inner.to(to.dtype).expand_as(to).clone()))
            return
    to.copy_(source.inner)
    here.wait_for("copy to host, pageable" if non_blocking else "copy to host", stream)


def upload(here, source, to, non_blocking):
    stream, pinned = here.current(to.device.index), is_pinned(source)
    if not to.numel():
        return
    alike = source.dtype == to.dtype and source.shape == to.shape
    direct = alike and (source.stride() == to.stride() or (source.is_contiguous() and to.is_contiguous()))
    with here.lock:
        here.meet(source, stream, "a copy to the device", writes=False)
        to.inner.copy_(source)
        tick = here.launch("copy to device", stream, source.nbytes + to.inner.nbytes)
        touch(here, "a copy to the device", [], [to], stream)
        if non_blocking and pinned and direct:
            here.copies.append(Copy(stream.stream_id, tick, source))
            return
    if non_blocking and not pinned:  # the host waits until its memory is read, not for what the stream did before
        here.wait("copy to device, pageable", {}, 0.0)
        return
    why = "pageable" if not pinned else "blocking" if not non_blocking else "converted on the host"
    here.wait_for(f"copy to device, {why}", stream)
