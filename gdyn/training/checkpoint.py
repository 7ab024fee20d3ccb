"""Model files: weights, and everything needed to build and apply the network again.

Format ``gdyn-model``, version 1: a torch file that loads without executing pickled code, holding a
dictionary with ``format``, ``version``, ``gdyn_version``, ``arguments`` (of the network),
``elements`` (whose order is a species' index), ``trial``, ``seed``, ``fingerprint`` (of the data and
settings it was trained on) and ``weights``.
"""

import pickle

import torch

import gdyn
from gdyn.errors import InputError
from gdyn.files import whole_file
from gdyn.networks import GDyNet

FORMAT = "gdyn-model"
VERSION = 1


def save_model(path, network, **about):
    """Write a model file; ``about`` are the further keys of the format, plain values all."""
    save(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "gdyn_version": gdyn.__version__,
            "arguments": network.arguments,
            "weights": {name: tensor.cpu() for name, tensor in network.state_dict().items()},
            **about,
        },
    )


def load_model(path, device="cpu"):
    """Return the network of a model file, ready to apply, and the dictionary that the file holds.

    Raises
    ------
    InputError : not a model file of this version.
    """
    content = load(path)
    found = (content.get("format"), content.get("version")) if isinstance(content, dict) else (None, None)
    if found != (FORMAT, VERSION):
        raise InputError(
            f"{path}: holds {found[0]} version {found[1]}, but {FORMAT} version {VERSION} is needed; train again"
        )
    network = GDyNet(**content["arguments"])
    network.load_state_dict(content["weights"])
    return network.to(device).eval(), content


def save(path, content):
    """Write tensors and plain values; the file appears under its name once it is whole."""
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def load(path):
    """Read tensors and plain values, never code.

    Raises
    ------
    InputError : the file cannot be read, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a model ({str(error).splitlines()[0]}); delete it and train again"
        ) from None
