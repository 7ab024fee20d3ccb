"""Caveats about the results of a training, in sentences."""

import numpy as np

from gdyn.training.schedule import Schedule

SMALLEST_POPULATION = 1e-3  # below which a state is practically empty
VISIBLE = 0.9  # singular value of noise, beyond which the frames could not have shown any process


def summarise_validation(score: float, floor: float, populations: np.ndarray, pure: float) -> str:
    """The validation of the model that was kept, in a line."""
    shares = " ".join(f"{p:.3f}" for p in populations)
    return f"validation VAMP-2 {score:.4f} (noise floor {floor:.4f}), populations {shares}, purity {pure:.3f}"


def problems(
    schedule: Schedule, score: float, floor: float, populations: np.ndarray, lag_ps: float, plain: str = ""
) -> list[str]:
    """Caveats, and what can be done about them.

    Parameters
    ----------
    schedule : at the end of the training.
    score, floor : VAMP-2 score of the validation frames, and its noise floor.
    populations : (states,)
    lag_ps : of the model.
    plain : why a GPU did without its fused kernels; empty if it did not.
    """
    sentences = [
        f"the stage '{name}' was still improving at its end; raise training.max_epochs" for name in schedule.unconverged
    ]
    if score <= floor:
        sentences = [nothing_slow(score, floor, len(populations), lag_ps)]
    if floor < score <= 3.0 * floor:
        sentences.append("the validation score is hardly above its noise floor; do not trust these states")
    empty = int((populations < SMALLEST_POPULATION).sum())
    if empty:
        sentences.append(f"{empty} of {len(populations)} states hold hardly any targets; ask for fewer states")
    if schedule.recoveries:
        sentences.append(f"the training became unstable {schedule.recoveries} times and continued in smaller steps")
    if plain:
        sentences.append(
            f"the fused kernels could not be used on this GPU ({plain}); training took longer than it needs"
        )
    return sentences


def nothing_slow(score: float, floor: float, n_states: int, lag_ps: float) -> str:
    """A sentence on a score that is not above its noise floor, and how slow a process would have been visible."""
    visible = np.sqrt(floor / (n_states - 1))  # as a singular value
    slower = f"slower than {-lag_ps / np.log(visible):.2g} ps " if 0 < visible < VISIBLE else ""
    return (
        f"at a lag of {lag_ps:g} ps nothing {slower}was found: the validation score ({score:.2g}) is not above its "
        f"noise floor ({floor:.2g}). The lag may be longer than every process, the states may be mirror images "
        f"(a network that sees distances cannot tell these apart), or the data may be too few"
    )
