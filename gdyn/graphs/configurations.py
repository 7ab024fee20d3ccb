"""Whole configurations, one for each frame: the input of a network that sees all targets at once and no graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from gdyn.config.models import Splits, Targets
from gdyn.device import send
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.graphs.pairs import LaggedFrames
from gdyn.statistics.lag import split_frames
from gdyn.store import TrajectoryStore
from gdyn.trajectory.targets import choose_targets, target_atoms


class ConfigurationBatch(NamedTuple):
    """Some configurations.

    features : (frames, features) float32
    starts : (1, frames + 1) int64 numpy, as in a GraphBatch: every frame is one node
    """

    features: Float[Tensor, "frames features"]
    starts: Int64[np.ndarray, "1 ends"]

    def on(self, move: Callable[[Tensor], Tensor]) -> "ConfigurationBatch":
        """The same with ``move`` applied to every tensor."""
        return ConfigurationBatch(move(self.features), self.starts)


@dataclass
class ConfigurationDataset(LaggedFrames):
    """The frames of one split of all trajectories, each as one configuration of all targets.

    A target's place is the cosine and the sine of ``2 pi`` times its coordinates in fractions of the lattice vectors,
    so that periodic images are the same. All targets together are one target set.

    features : (frames, 6 target atoms) float32
    elements : of the target atoms, in their order
    Other fields as in a GraphDataset.
    """

    features: Float[Tensor, "frames features"]
    elements: list[str]
    target_ids: np.ndarray
    present: np.ndarray
    window: np.ndarray
    time_ps: np.ndarray
    trajectory: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    checksum: list[str]

    @classmethod
    def load(
        cls,
        stores: Sequence[FilePath],
        splits: Splits,
        name: str,
        targets: Targets,
        elements: Sequence[str] | None = None,
    ) -> "ConfigurationDataset":
        """Read a split of a system.

        Parameters
        ----------
        stores : paths of the trajectory stores, in the order of their numbers.
        splits, targets : those sections of a system.
        name : of the split.
        elements : those that the target atoms must have, if given.

        Raises
        ------
        InputError : the split is empty, the targets are not the same in every trajectory, or not of these elements, or
            the box is not periodic.
        """
        fractions = splits.as_dict()[name]
        split = split_frames(len(stores), fractions) if splits.by == "trajectory" else slice(None)
        parts = [_read(path, number, targets, fractions if splits.by == "time" else (0.0, 1.0))
                 for number, path in list(enumerate(stores))[split]]  # fmt: skip
        parts = [part for part in parts if len(part["time_ps"])]
        if not parts:
            raise InputError(f"splits.{name}: {list(fractions)} holds no frame; widen it")
        first = parts[0]
        elements = first["elements"] if elements is None else list(elements)
        for part in parts:
            if part["elements"] != elements:
                raise InputError(
                    f"{stores[part['number']]}: a VAMPnet needs the same targets in every trajectory, and this one has "
                    f"{len(part['elements'])} target atoms instead of {len(elements)}, or others"
                )
        joined = {key: np.concatenate([part[key] for part in parts]) for key in ("features", "time_ps")}
        trajectory = np.repeat([part["number"] for part in parts], [len(part["time_ps"]) for part in parts])
        inner = np.concatenate([part["segment"] for part in parts])
        changed = (np.diff(trajectory) != 0) | (np.diff(inner) != 0)
        return cls(
            features=torch.from_numpy(joined["features"]),
            elements=elements,
            target_ids=first["ids"][None],
            present=np.ones((1, 1), bool),
            window=np.zeros(len(trajectory), int),
            time_ps=joined["time_ps"],
            trajectory=trajectory,
            segment=np.concatenate([[0], np.cumsum(changed)]),
            frame_interval_ps=first["frame_interval_ps"],
            checksum=[part["checksum"] for part in parts],
        )

    @property
    def n_features(self) -> int:
        return self.features.shape[1]

    @property
    def nbytes(self) -> int:
        return self.features.nbytes

    def bytes_on(self, device: torch.device) -> int:
        """The same on any device."""
        return self.nbytes

    def read(self, device: torch.device) -> None:
        """Move all configurations to the memory of ``device``."""
        self.features = self.features.to(device)

    def batch(self, frames: np.ndarray, hops: int = 0) -> ConfigurationBatch:
        """The configurations of ``frames`` (indices into this dataset)."""
        index = send(torch.as_tensor(frames), self.features.device)
        return ConfigurationBatch(self.features.index_select(0, index), np.arange(len(frames) + 1)[None])


def _read(path: FilePath, number: int, targets: Targets, fractions: tuple[float, float]) -> dict[str, Any]:
    """The frames of one trajectory between two fractions of its length."""
    with TrajectoryStore.open(path) as store:
        if not all(store.periodic):
            raise InputError(f"{store.source}: a VAMPnet needs a box that is periodic in all directions")
        frames = split_frames(len(store), fractions)
        atoms = target_atoms(choose_targets(store, targets).sets)
        fractional = np.einsum(
            "fai,fij->faj", store.positions(frames, atoms).astype(np.float64), np.linalg.inv(store.cells(frames))
        )
        angle = 2.0 * np.pi * fractional.reshape(len(fractional), -1)
        return {
            "number": number,
            "features": np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32),
            "elements": store.atoms.element[atoms].tolist(),
            "ids": store.atoms.id[atoms],
            "time_ps": store.time_ps[frames],
            "segment": store.segment[frames],
            "frame_interval_ps": store.frame_interval_ps,
            "checksum": store.checksum,
        }
