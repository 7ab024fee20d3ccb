"""Which frame follows which: repeated frames, gaps, restarts and changed intervals become segments or an error."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gdyn.errors import InputError
from gdyn.logs import LOG

KEEP, PASS, REPEAT = "keep", "pass", "repeat"


@dataclass
class Timeline:
    """Places frames in time by their LAMMPS steps.

    Frames of a segment are exactly one frame interval apart. A frame between two multiples of the
    interval is passed over; one that was there before, as in a continued run, is dropped; a gap, a
    ``reset_timestep`` and a run continued on another path begin a new segment.

    Parameters
    ----------
    steps_per_frame : of the frame interval.
    timestep_ps : ps
    interval_ps : ps, for the sentences.
    """

    steps_per_frame: int
    timestep_ps: float
    interval_ps: float
    segment: int = -1
    time_ps: float = 0.0
    passed: int = 0
    repeated: int = 0
    gaps: int = 0
    restarts: int = 0
    _first: int = 0
    _kept: int | None = None
    _latest: int = 0
    _kept_frames: int = 0
    _pairs: int = 0
    _times: tuple[int, float] | None = None
    _warned: set[str] = field(default_factory=set)

    def go_on(self, step: int, time_ps: float, segment: int) -> None:
        """Continue after a frame, as if all frames up to it had been placed."""
        self.segment, self.time_ps = segment, time_ps
        self._first = self._kept = self._latest = step
        self._kept_frames = 1

    def place(self, step: int, same: Callable[[int], bool], where: str) -> str:
        """Say what to do with the next frame.

        Parameters
        ----------
        step : its LAMMPS time step.
        same : function of a number of intervals ``n`` that tells whether the frame has the positions
            of the one kept ``n`` intervals before the last kept one.
        where : the name of the frame in a sentence.

        Returns
        -------
        ``KEEP``: ``segment`` and ``time_ps`` are now its own. ``PASS``: it lies between two intervals.
        ``REPEAT``: it was there before.

        Raises
        ------
        InputError : the steps do not agree with the frame interval.
        """
        if self._kept is None:
            return self._begin(step, step * self.timestep_ps)
        latest, self._latest = self._latest, step
        ahead = step - self._kept
        if ahead == self.steps_per_frame:
            self._kept = step
            self.time_ps += self.interval_ps
            self._kept_frames += 1
            self._pairs += 1
            return KEEP
        if ahead > self.steps_per_frame:
            uneven = latest > self._kept and step - latest < self.steps_per_frame
            if uneven or self._kept_frames == 1:
                raise self._wrong_interval(where, step, latest)
            self.gaps += 1
            self._warn("gap", f"{where}: step {step} follows step {latest}: a gap; no pair of frames crosses it")
            return self._begin(step, self.time_ps + ahead * self.timestep_ps)
        if ahead > 0:
            self.passed += 1
            self._warn("pass", f"{where}: frames between multiples of {self.interval_ps:g} ps are passed over")
            return PASS
        if step >= self._first:
            back, off = divmod(self._kept - step, self.steps_per_frame)
            if off or same(back):
                self.repeated += 1
                return REPEAT
        self.restarts += 1
        self._warn(
            "restart",
            f"{where}: step {step} follows step {latest}: the steps begin again, or the run was continued on another "
            f"path; no pair of frames crosses this, and the time continues",
        )
        return self._begin(step, self.time_ps + self.interval_ps)

    def check_time(self, step: int, time_ps: float, where: str) -> None:
        """Compare the elapsed time in a dump with the configured timestep."""
        if self._times and step > self._times[0]:
            steps, elapsed = step - self._times[0], time_ps - self._times[1]
            if abs(elapsed - steps * self.timestep_ps) > 1e-6 * max(abs(elapsed), self.timestep_ps):
                raise InputError(
                    f"{where}: {steps} steps took {elapsed:.6g} ps by the dump's own time, but trajectory.timestep and "
                    f"trajectory.units make that {steps * self.timestep_ps:.6g} ps; correct those keys (a timestep "
                    f"that changes during the run cannot be used)"
                )
        self._times = (step, time_ps)

    def finish(self, where: str) -> list[str]:
        """Summarise, and warn of, all deviations from one uninterrupted run: a list of sentences.

        Raises
        ------
        InputError : hardly any two frames are one interval apart.
        """
        notes = []
        for count, what in (
            (self.passed, f"frames between multiples of {self.interval_ps:g} ps, passed over"),
            (self.repeated, "repeated frames, dropped"),
            (self.gaps, "gaps that divide the trajectory"),
            (self.restarts, "restarts that divide the trajectory"),
        ):
            if count:
                notes.append(f"{where}: {what}: {count}")
                LOG.warning("%s", notes[-1])
        if self._kept_frames > 1 and 2 * self._pairs < self._kept_frames - 1:
            raise InputError(
                f"{where}: only {self._pairs} of {self._kept_frames} frames follow another one after "
                f"{self.interval_ps:g} ps; trajectory.frame_interval_ps or trajectory.timestep is wrong, or the frames "
                f"are not equally spaced"
            )
        return notes

    def _begin(self, step: int, time_ps: float) -> str:
        self.segment += 1
        self.time_ps = time_ps
        self._first = self._kept = self._latest = step
        self._kept_frames += 1
        return KEEP

    def _warn(self, kind: str, sentence: str) -> None:
        """Report the first of each kind at once; the others are counted at the end."""
        if kind not in self._warned:
            self._warned.add(kind)
            LOG.warning("%s", sentence)

    def _wrong_interval(self, where: str, step: int, latest: int) -> InputError:
        return InputError(
            f"{where}: step {step} follows step {latest}, which are {(step - latest) * self.timestep_ps:.6g} ps; "
            f"trajectory.frame_interval_ps is {self.interval_ps:g} and must be a multiple of that: correct that key "
            f"or trajectory.timestep, or cut the dump where its interval changes"
        )
