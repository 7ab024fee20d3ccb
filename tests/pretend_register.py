"""What torch is told about the pretend GPU (pretend_gpu.py): kernels, autocast, pinned memory."""

import functools

import torch
from pretend_card import NOW, card
from pretend_copies import is_pinned, pinned_empty
from pretend_tensor import PretendTensor, mapped, run, tensors

LIBRARIES = []  # torch forgets what they registered with them
CASTS = {}  # of weights, within an autocast
# Torch would take these apart for a device that has no kernel of its own. And torch.tensor calls that of copy_ past the
# tensors' own dispatch, where a fallback is not found.
WHOLE = {
    "arange", "arange.start", "arange.start_step", "randperm", "randperm.generator", "eye", "eye.m", "silu_backward",
    "mish_backward", "copy_",
}  # fmt: skip
# What autocast does to operations on CUDA: bfloat16, float32, the widest of the types given.
LOWER = {
    "linear", "matmul", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "addr", "chain_matmul",
    "linalg_multi_dot", "prelu", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d.input",
    "conv_transpose3d.input", "_convolution", "scaled_dot_product_attention",
}  # fmt: skip
FULL = {
    "softmax.int", "log_softmax.int", "layer_norm", "native_layer_norm", "group_norm", "exp", "expm1", "log",
    "log10", "log2", "log1p", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "rsqrt", "reciprocal",
    "acos", "asin", "cosh", "erfinv", "sinh", "tan", "softplus", "norm.Scalar", "norm.ScalarOpt_dim", "sum",
    "sum.dim_IntList", "prod", "prod.dim_int", "cumsum", "cumprod", "cdist", "_cdist_forward", "dist", "mse_loss",
    "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "nll_loss", "cross_entropy_loss", "cosine_similarity",
    "cosine_embedding_loss", "logsumexp", "renorm",
}  # fmt: skip
WIDEST = {
    "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put", "tensordot",
    "scatter_add", "cat", "stack",
}  # fmt: skip


def register():
    everything = torch.library.Library("_", "IMPL")
    everything.fallback(lambda op, *args, **kwargs: run(op, args, kwargs), "PrivateUse1")
    everything.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    aten = torch.library.Library("aten", "IMPL")
    for name in WHOLE:
        aten.impl(name, functools.partial(whole, overload(name)), "PrivateUse1")
    aten.impl("is_pinned", lambda tensor, device=None: bool(NOW) and is_pinned(tensor), "CPU")
    aten.impl("_pin_memory", pin, "CPU")
    for names, cast in ((LOWER, lower), (FULL, full), (WIDEST, widest)):
        for name in names:
            aten.impl(name, functools.partial(under_autocast, overload(name), cast), "AutocastPrivateUse1")
    LIBRARIES.extend([everything, aten])


def overload(name):
    packet, _, which = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), which or "default")


def whole(func, *args, **kwargs):
    """What torch would take apart for a device that has no kernel of its own."""
    return run(func, args, kwargs)


def pin(tensor, device=None):
    card()
    new = pinned_empty(tensor.shape, tensor.dtype)
    new = (
        new
        if tensor.is_contiguous()
        else new.view(-1).as_strided(torch.empty_like(tensor).shape, torch.empty_like(tensor).stride())
    )
    return new.copy_(tensor)


def under_autocast(func, cast, *args, **kwargs):
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
    with torch._C._ExcludeDispatchKeyGuard(keys):
        args, kwargs = cast(func, args, kwargs)
        return func(*args, **kwargs)


def casting(dtype):
    def change(value):
        if not (isinstance(value, PretendTensor) and value.is_floating_point()) or value.dtype in (
            torch.float64,
            dtype,
        ):
            return value
        weight = value.is_leaf and value.requires_grad and value.dtype is torch.float32
        if not (weight and torch.is_autocast_cache_enabled()):
            return value.to(dtype)
        key = id(value), value._version, torch.is_grad_enabled(), dtype
        if key not in CASTS:
            CASTS[key] = value, value.to(dtype)
        return CASTS[key][1]

    return change


def lower(func, args, kwargs):
    return mapped((args, kwargs), casting(torch.get_autocast_dtype("pretend")))


def full(func, args, kwargs):
    names = [argument.name for argument in func._schema.arguments]
    if "dtype" in names:  # torch casts within the operation
        at = names.index("dtype")
        given = kwargs.get("dtype") or (args[at] if len(args) > at else None)
        half = args[0].dtype in (torch.bfloat16, torch.float16)
        return (args[:at], {**kwargs, "dtype": torch.float32}) if given is None and half else (args, kwargs)
    return mapped((args, kwargs), casting(torch.float32))


def widest(func, args, kwargs):
    wide = any(tensor.dtype is torch.float32 for tensor in tensors((args, kwargs)))
    return mapped((args, kwargs), casting(torch.float32)) if wide else (args, kwargs)
