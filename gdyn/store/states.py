"""State probabilities of every target set in every frame of one split.

Format ``gdyn-states``, version 1.

=====================  =================================  ======================================
``probabilities``      (frames, target sets, states)      rows sum to 1, the most populated state
                       float32                            first (of the system that the model was
                                                          trained on); NaN where a target
                                                          set is not present: in other
                                                          trajectories, or when it is not selected
``time_ps``            (frames,) float64
``trajectory``         (frames,) int32                    number of the trajectory in the system
``segment``            (frames,) int32                    number of the stretch without a gap, over
                                                          all trajectories; no lagged pair
                                                          crosses one
``target_ids``         (target sets, k) int64             LAMMPS ids, filled up with -1
=====================  =================================  ======================================

Attributes of the file: ``format``, ``version``, ``gdyn_version``, ``split``, ``lag_ps``,
``frame_interval_ps``, ``outside``, the share of the surroundings that are unlike any that the model was trained on (NaN
where unknown), and ``order``, which output of the model each state is. Frames follow each other by
``frame_interval_ps`` within a segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float, Int

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.store import hdf5
from gdyn.units import multiple

FORMAT = "gdyn-states"
VERSION = 1
ROUNDING = 1e-3  # which rows of probabilities may differ from a sum of 1 by


@dataclass
class States:
    """State probabilities and their times, in memory; fields as in the format."""

    probabilities: Float[np.ndarray, "frames targets states"]
    time_ps: Float[np.ndarray, " frames"]
    trajectory: Int[np.ndarray, " frames"]
    segment: Int[np.ndarray, " frames"]
    target_ids: Int[np.ndarray, "targets k"]
    split: str
    lag_ps: float
    frame_interval_ps: float
    outside: float = float("nan")
    order: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        probabilities: Float[np.ndarray, "frames targets states"],
        lag_ps: float,
        frame_interval_ps: float,
        trajectory: Int[np.ndarray, " frames"] | None = None,
        target_ids: Int[np.ndarray, "targets k"] | None = None,
        split: str = "test",
        time_ps: Float[np.ndarray, " frames"] | None = None,
    ) -> Self:
        """States from arrays; by default of one trajectory without gaps.

        Parameters
        ----------
        probabilities : (frames, targets, states), rows sum to 1; NaN where a target is not present.
        lag_ps, frame_interval_ps : lag time of the model, and time from frame to frame.
        trajectory : (frames,) number of the trajectory that each frame is of, in ascending order.
        target_ids : (targets, k) ids of the atoms of each target, filled up with -1; by default 1, 2 ...
        split : what to call the frames.
        time_ps : (frames,) times of the frames in their trajectories, ``frame_interval_ps`` apart, where these do not
            begin at 0; a gap begins a new segment.

        Raises
        ------
        ConfigError : the lag time is not a whole number of frames.
        InputError : shapes do not fit, rows do not sum to 1, or trajectories are not in order.
        """
        for name, value in (("lag_ps", lag_ps), ("frame_interval_ps", frame_interval_ps)):
            if isinstance(value, bool) or not isinstance(value, Real):
                raise InputError(f"{name}: should be a time in ps, a number, but is {value!r}")
        multiple(lag_ps, frame_interval_ps, "lag_ps", "the frame interval")
        probabilities = _real(probabilities, "probabilities")
        if probabilities.ndim != 3:
            labels = np.issubdtype(probabilities.dtype, np.integer)
            one = "; of labels from 0 on, np.eye(n_states)[labels]" if labels else "; of one target, p[:, None]"
            raise InputError(
                f"probabilities: should be (frames, targets, states), not of shape {probabilities.shape}{one}"
            )
        if 0 in probabilities.shape or probabilities.shape[2] < 2:
            raise InputError(
                f"probabilities: of shape {probabilities.shape}, but there have to be frames, targets and at least two "
                f"states"
            )
        _check_rows(probabilities)
        n_frames, n_targets = probabilities.shape[:2]
        number = np.zeros(n_frames, int) if trajectory is None else np.asarray(trajectory)
        whole = np.issubdtype(number.dtype, np.integer)
        number = number.astype(np.int64) if whole else number  # differences of unsigned numbers are never negative
        if number.shape != (n_frames,) or not whole or (np.diff(number) < 0).any() or number[0] < 0:
            raise InputError("trajectory: should be one number from 0 on for each frame, in ascending order")
        ids = np.arange(1, n_targets + 1)[:, None] if target_ids is None else np.asarray(target_ids)
        if ids.ndim != 2 or len(ids) != n_targets or not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"target_ids: should be (targets, atoms of each), whole numbers, for {n_targets} targets")
        if time_ps is None:
            first = np.searchsorted(number, number)  # the frame that its trajectory begins with
            time_ps = (np.arange(n_frames) - first) * frame_interval_ps
        times = _real(time_ps, "time_ps").astype(float)
        if times.shape != (n_frames,) or not np.isfinite(times).all():
            raise InputError(f"time_ps: should be the time of each of the {n_frames} frames")
        steps, same = np.diff(times), np.diff(number) == 0
        if (steps[same] <= 0).any():
            raise InputError("time_ps: should be in ascending order within each trajectory")
        follows = same & (np.abs(steps - frame_interval_ps) <= 1e-3 * frame_interval_ps)
        segment = np.concatenate([[0], np.cumsum(~follows)])
        return cls(probabilities, times, number, segment, ids, split, lag_ps, frame_interval_ps)

    @classmethod
    def read(cls, path: FilePath) -> Self:
        """Read a states file.

        Raises
        ------
        InputError : not a whole states file of this version.
        """
        with hdf5.read(path, FORMAT, VERSION) as file:
            return cls(
                **{name: file[name][:] for name in ("probabilities", "time_ps", "trajectory", "segment", "target_ids")},
                split=file.attrs["split"],
                lag_ps=float(file.attrs["lag_ps"]),
                frame_interval_ps=float(file.attrs["frame_interval_ps"]),
                outside=float(file.attrs.get("outside", "nan")),
                order=tuple(map(int, file.attrs.get("order", ()))),
            )

    def write(self, path: FilePath) -> None:
        """Write a states file; it appears under its name once it is whole."""
        with hdf5.create(path, FORMAT, VERSION) as file:
            hdf5.append(file, "probabilities", np.asarray(self.probabilities, np.float32))
            hdf5.append(file, "time_ps", np.asarray(self.time_ps, np.float64))
            hdf5.append(file, "trajectory", np.asarray(self.trajectory, np.int32))
            hdf5.append(file, "segment", np.asarray(self.segment, np.int32))
            file["target_ids"] = np.asarray(self.target_ids, np.int64)
            file.attrs["split"] = self.split
            file.attrs["lag_ps"] = self.lag_ps
            file.attrs["frame_interval_ps"] = self.frame_interval_ps
            file.attrs["outside"] = self.outside
            file.attrs["order"] = np.asarray(self.order, np.int64)

    @property
    def present(self) -> Bool[np.ndarray, "frames targets"]:
        """Which target sets are present: (frames, target sets) bool."""
        return ~np.isnan(self.probabilities[..., 0])

    @property
    def lag_frames(self) -> int:
        """The model's lag time in frames."""
        return round(self.lag_ps / self.frame_interval_ps)

    @property
    def length_ps(self) -> float:
        """Total length of all frames, ps."""
        return len(self.time_ps) * self.frame_interval_ps

    def of_trajectory(self, number: int) -> Self:
        """The frames of one trajectory, and the target sets that are present in any of them."""
        frames = self.trajectory == number
        sets = self.present[frames].any(0)
        return replace(
            self,
            probabilities=self.probabilities[frames][:, sets],
            time_ps=self.time_ps[frames],
            trajectory=self.trajectory[frames],
            segment=self.segment[frames],
            target_ids=self.target_ids[sets],
        )

    def at_lag(self, lag_ps: float) -> Self:
        """The same states, for a model of another lag time.

        Raises
        ------
        ConfigError : it is not a whole number of frames.
        """
        multiple(lag_ps, self.frame_interval_ps, "lag_ps", "the frame interval")
        return replace(self, lag_ps=lag_ps)

    def reordered(self, order: Sequence[int] | np.ndarray) -> Self:
        """The same states in another order: state ``order[i]`` becomes state ``i``."""
        return replace(self, probabilities=self.probabilities[:, :, order], order=tuple(map(int, order)))


def _real(values: Any, name: str) -> np.ndarray:
    """The same as an array of real numbers.

    Raises
    ------
    InputError : they are none.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name}: should be an array, but its rows are of different lengths") from None
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: should be real numbers, but they are of the type {array.dtype}")
    return array


def _check_rows(probabilities: Float[np.ndarray, "frames targets states"]) -> None:
    """Refuse what cannot be probabilities.

    Raises
    ------
    InputError : with the first frame and target that are wrong.
    """
    absent = np.isnan(probabilities).all(-1)
    if absent.all():
        raise InputError("probabilities: all are NaN, so that no target is present in any frame")
    rows = np.where(absent[..., None], 1.0 / max(1, probabilities.shape[-1]), probabilities)
    wrong = ~((rows >= -ROUNDING).all(-1) & (np.abs(rows.sum(-1) - 1.0) <= ROUNDING))
    if wrong.any():
        frame, target = np.argwhere(wrong)[0].tolist()
        raise InputError(
            f"probabilities: in frame {frame}, those of target {target} are {probabilities[frame, target].tolist()}; "
            f"all should be from 0 to 1 and sum to 1, or all be NaN where the target is not present"
        )
