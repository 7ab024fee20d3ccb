"""What operations of torch cost on a CUDA device: which are free, which are several launches, which wait.

The numbers are those of torch's CUDA implementation to within one or two: they are meant for counting what a training
step does and for seeing it change, not for predicting its time.
"""

import functools
import math

import torch

# Need no launch, though they are no views.
FREE = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted", "_unsafe_view",
    "resize_", "resize_as_", "set_", "is_same_size", "is_set_to", "_linalg_check_errors", "_local_scalar_dense",
}  # fmt: skip
# Change a tensor without reading it.
OVERWRITE = {
    "fill_",
    "zero_",
    "normal_",
    "uniform_",
    "random_",
    "bernoulli_",
    "exponential_",
    "log_normal_",
    "_foreach_zero_",
}
# More than one launch. Sorts are a copy, an arange and a sort at least; scans of one axis an initialisation and a scan.
MANY = {
    "sort": 3, "argsort": 3, "topk": 2, "kthvalue": 2, "median": 2, "nanmedian": 2, "msort": 3, "mode": 4,
    "cumsum": 2, "cumprod": 2, "logcumsumexp": 2, "nonzero": 3, "masked_select": 4, "nonzero_static": 3,
    "_unique2": 8, "unique_dim": 10, "unique_consecutive": 6, "unique_dim_consecutive": 8, "bincount": 3, "histc": 3,
    "equal": 2, "repeat_interleave": 3, "randperm": 3, "multinomial": 4, "native_layer_norm_backward": 2,
    "native_group_norm": 2, "native_group_norm_backward": 3, "native_batch_norm": 2, "native_batch_norm_backward": 2,
    "linalg_cholesky_ex": 4, "cholesky_inverse": 3, "cholesky_solve": 2, "linalg_solve_triangular": 2,
    "triangular_solve": 2, "linalg_inv_ex": 5, "linalg_lu_factor_ex": 3, "linalg_lu_solve": 3, "_linalg_solve_ex": 6,
    "_linalg_det": 5, "_linalg_slogdet": 5, "_linalg_eigh": 12, "_linalg_svd": 20, "linalg_eig": 20, "linalg_qr": 8,
    "linalg_lstsq": 12, "_cdist_forward": 1, "_scaled_dot_product_flash_attention_for_cpu": 1, "trace": 2,
}  # fmt: skip
SORTED = 6  # launches of what sorts its indices before it adds: index_put with accumulate, the backward of embedding
UNSORTED_INDICES = 3072  # up to which the backward of embedding is one launch
MASKS = 3  # launches that a mask costs where it becomes indices
# The host waits for the device: it needs a number, a size, or to know whether it went well.
WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "equal",
    "unique_dim_consecutive", "bincount", "_linalg_check_errors", "_linalg_eigh", "_linalg_svd", "linalg_eig",
    "linalg_lstsq", "repeat_interleave",
}  # fmt: skip
# Foreach operations put so many tensors, of so many lists, and so many pieces of them, into one launch.
TENSORS_OF_LISTS = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
PIECES, PIECE = 320, 65536
INDEXING = {"index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
# Beside the pointwise operations: these take a number that lies in a tensor on the host.
TAKE_NUMBERS = {"fill_", "fill", "masked_fill", "masked_fill_", "index_fill", "index_fill_", "isin", "copy"}


class Known:
    """What the schema of an operation tells about it, looked up once."""

    def __init__(self, func):
        schema = func._schema
        self.name = schema.name.split("::")[1]
        self.overload = f"{self.name}.{schema.overload_name}" if schema.overload_name else self.name
        self.mutates = schema.is_mutable
        self.written = {
            at if not argument.kwarg_only else argument.name
            for at, argument in enumerate(schema.arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        }
        self.overwrites = self.name in OVERWRITE or schema.overload_name.endswith("out")
        self.free = func.is_view or self.name in FREE
        self.takes_numbers = torch.Tag.pointwise in func.tags or self.name in TAKE_NUMBERS
        self.takes_numbers |= self.name in INDEXING or self.name.startswith(("_foreach_", "_fused_"))
        self.generator = any(argument.name == "generator" for argument in schema.arguments)
        self.random = self.name in ("native_dropout", "rand_like", "randn_like", "randint_like", "_fused_dropout")
        # Sees to it that no random number comes from the host's generator.
        self.random |= self.name in ("rrelu_with_noise", "_sample_dirichlet", "_standard_gamma", "binomial")
        self.checks = [argument.name for argument in schema.arguments].count("check_errors") > 0


@functools.cache
def known(func):
    return Known(func)


def launches(op, args, kwargs, masks):
    """How many launches an operation is.

    Parameters
    ----------
    op : what is ``known`` about it.
    args, kwargs : its arguments on the host.
    masks : how many masks it has to turn into indices.
    """
    if op.name.startswith(("_foreach_", "_fused_")):
        return of_lists([arg for arg in args if isinstance(arg, (list, tuple)) and len(arg)])
    if op.name in ("embedding_dense_backward", "embedding_backward"):
        return 1 if args[1].numel() <= UNSORTED_INDICES else SORTED
    accumulates = op.name in INDEXING and (kwargs.get("accumulate") or (len(args) > 3 and args[3] is True))
    if op.name == "sort" and args[0].dtype is torch.bool:
        return MANY["sort"] + 1
    return (SORTED if accumulates else MANY.get(op.name, 1)) + MASKS * masks


def of_lists(lists):
    """Launches over lists of tensors, each of which has as many."""
    tensors = [arg for arg in lists if isinstance(arg[0], torch.Tensor)]
    if not tensors:
        return 1
    pieces = sum(math.ceil(tensor.numel() / PIECE) for tensor in tensors[0])
    each = TENSORS_OF_LISTS.get(len(tensors), 30)
    return max(1, math.ceil(len(tensors[0]) / each), math.ceil(pieces / PIECES))
