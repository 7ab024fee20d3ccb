"""The range of surroundings that a model was trained on, and whether others lie outside it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gdyn.graphs.dataset import GraphDataset
from gdyn.kernels.layout import unsigned

MOST_SAMPLES = 200_000


def ranges(data: GraphDataset) -> dict[str, list]:
    """The least and the greatest of what is around the targets of a dataset, by the element of the target.

    Returns
    -------
    dict of nested lists, plain values for a model file: ``distance_A`` (elements, M, 2), to the first, second ...
    neighbor; ``neighbors`` (elements, elements, 2), numbers of neighbors of each element. Where no target is of an
    element, the least is above the greatest.
    """
    n = len(data.elements)
    shapes = {"distance_A": (n, data.n_neighbors), "neighbors": (n, n)}
    limits = {name: np.stack([np.full(shape, np.inf), np.full(shape, -np.inf)], -1) for name, shape in shapes.items()}
    for species, *samples in _around(data):
        for range_, values in zip(limits.values(), samples, strict=True):
            for element in np.unique(species):
                of_element = values[species == element]
                range_[element, :, 0] = np.minimum(range_[element, :, 0], of_element.min(0))
                range_[element, :, 1] = np.maximum(range_[element, :, 1], of_element.max(0))
    return {name: values.tolist() for name, values in limits.items()}


def outside(data: GraphDataset, seen: Mapping[str, Any]) -> float:
    """Share of the targets' surroundings that have anything outside some :func:`ranges`: from 0 to 1."""
    limits = [np.array(values) for values in seen.values()]
    strange, total = 0, 0
    for species, *samples in _around(data):
        bad = np.zeros(len(species), bool)
        for limit, values in zip(limits, samples, strict=True):
            of_targets = limit[species]
            bad |= ((values < of_targets[..., 0]) | (values > of_targets[..., 1])).any(1)
        strange, total = strange + int(bad.sum()), total + len(bad)
    return strange / max(total, 1)


def _around(data: GraphDataset) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of the target atoms of evenly spaced frames: their species, distances (A) and numbers of neighbors."""
    every = max(1, len(data) * data.n_targets * data.target_ids.shape[1] // MOST_SAMPLES)
    frames = np.arange(0, len(data), every)
    for piece in np.array_split(frames, max(1, len(frames) // 50)):
        graph = data.batch(piece, 1)
        targets = graph.counts[0]
        if not targets:
            continue
        species = graph.species.cpu().numpy()
        near = species[graph.neighbors[:targets].cpu().numpy()]
        distance_A = np.sort(unsigned(graph.distance_mA[:targets].cpu()).numpy(), axis=1) / 1000.0
        numbers = np.stack([(near == element).sum(1) for element in range(len(data.elements))], axis=1)
        yield species[:targets], distance_A, numbers
