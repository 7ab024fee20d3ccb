"""Model files: weights, and everything needed to build and apply the network again.

Format ``gdyn-model``, version 1: a torch file that loads without executing pickled code, holding a
dictionary with ``format``, ``version``, ``gdyn_version``, ``model`` (its kind; absent: gdynet),
``arguments`` (of the network), ``elements`` (whose order is a species' index), ``trial``, ``seed``,
``fingerprint`` (of the data and settings it was trained on), ``seen`` (the ranges of :mod:`gdyn.training.seen`; None of
a VAMPnet, absent in older files), ``precision`` (the arithmetic it was trained in; absent: float32) and ``weights``.

Format ``gdyn-resume``, version 4: the same kind of file for a training that was interrupted, with ``format``,
``version``, ``fingerprint`` and ``state``, a :class:`gdyn.training.state.TrainingState`. Others never read it, and
where it is of another version, training starts again.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import gdyn
from gdyn.config import Trial
from gdyn.errors import InputError
from gdyn.files import FilePath, whole_file
from gdyn.logs import LOG
from gdyn.networks import NETWORKS, StateNetwork

FORMAT = "gdyn-model"
VERSION = 1
RESUME = "gdyn-resume"
RESUME_VERSION = 4


def save_model(path: FilePath, network: StateNetwork, **about: Any) -> None:
    """Write a model file; ``about`` are the further keys of the format, plain values all."""
    save(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "gdyn_version": gdyn.__version__,
            "model": next(kind for kind, of in NETWORKS.items() if isinstance(network, of)),
            "arguments": network.arguments,
            "weights": {name: tensor.cpu() for name, tensor in network.state_dict().items()},
            **about,
        },
    )


def load_model(path: FilePath, device: torch.device | str = "cpu") -> tuple[StateNetwork, dict[str, Any]]:
    """Return the network of a model file, ready to apply, and the dictionary that the file holds.

    Raises
    ------
    InputError : not a model file of this version.
    """
    content = load(path)
    header = (content.get("format"), content.get("version")) if isinstance(content, dict) else (None, None)
    if header != (FORMAT, VERSION):
        raise InputError(
            f"{path}: holds {header[0]} version {header[1]}, but {FORMAT} version {VERSION} is needed; train again"
        )
    network = NETWORKS[content.get("model", Trial.model_fields["model"].default)](**content["arguments"])
    network.load_state_dict(content["weights"])
    return network.to(device).eval(), content


def begin_from(network: StateNetwork, path: FilePath, elements: Sequence[str]) -> None:
    """Give a network the weights of a model file, wherever both have a tensor of the same name and shape.

    Raises
    ------
    InputError : nothing fits, or the model is of other elements.
    """
    content = load_model(path)[1]
    if content["elements"] != list(elements):
        raise InputError(
            f"training.warm_start: {path} was trained on {', '.join(content['elements'])}, "
            f"but there are {', '.join(elements)} here"
        )
    weights = network.state_dict()
    fitting = {
        name: tensor
        for name, tensor in content["weights"].items()
        if name != "rotation" and name in weights and weights[name].shape == tensor.shape
    }
    if next(name for name, _ in network.named_parameters()) not in fitting:
        raise InputError(
            f"training.warm_start: {path} is of another kind or width than this trial; leave it out for this one"
        )
    network.load_state_dict({**weights, **fitting})


def save_resume(path: Path, fingerprint: str, state: dict[str, Any]) -> None:
    """Write what an interrupted training resumes from.

    Parameters
    ----------
    path : of the file.
    fingerprint : of the data and settings.
    state : the dictionary of a :class:`gdyn.training.state.TrainingState`.
    """
    save(path, {"format": RESUME, "version": RESUME_VERSION, "fingerprint": fingerprint, "state": state})


def load_resume(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The state that an interrupted training resumes from, or None where nothing fits.

    Raises
    ------
    InputError : the file cannot be read, or holds code.
    """
    if not path.exists():
        return None
    content = load(path)
    header = [content.get(key) for key in ("format", "version", "fingerprint")] if isinstance(content, dict) else []
    if header != [RESUME, RESUME_VERSION, fingerprint]:
        LOG.info("%s belongs to other data, settings or another version: starting again from the beginning", path)
        return None
    return content["state"]


def save(path: FilePath, content: dict[str, Any]) -> None:
    """Write tensors and plain values; the file appears under its name once it is whole."""
    with whole_file(path) as temporary:
        torch.save(content, temporary)


def load(path: FilePath) -> Any:
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
