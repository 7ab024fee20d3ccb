"""From the files of the analyses to the files of the figures."""

import pandas as pd

from gdyn.figures.chapman_kolmogorov import draw_chapman_kolmogorov
from gdyn.figures.koopman import draw_koopman
from gdyn.figures.network import draw_network
from gdyn.figures.order import draw_order
from gdyn.figures.selection import draw_selection
from gdyn.figures.sites import draw_sites
from gdyn.figures.structure import draw_profile, draw_structure
from gdyn.figures.style import save, styled
from gdyn.figures.surroundings import draw_surroundings, read_extxyz
from gdyn.figures.timescales import draw_timescales
from gdyn.figures.training import draw_training
from gdyn.figures.trajectories import draw_side_by_side
from gdyn.figures.transport import draw_transport
from gdyn.figures.whole_cell import draw_whole_cell
from gdyn.files import read_json
from gdyn.statistics.interval import Interval


@styled
def draw_kinetics(choice, histories, selection, koopman, timescales, chapman_kolmogorov, reference, outputs):
    """Draw the figures that every system has.

    Parameters
    ----------
    choice, koopman, chapman_kolmogorov : paths of JSON files.
    histories, selection, timescales : paths of CSV files.
    reference : paths of the timescales of known sites: one or none.
    outputs : mapping of the figures' names to the PDFs to write.
    """
    choice, model = read_json(choice), read_json(koopman)
    of_sites = [pd.read_csv(path) for path in reference]
    figures = {
        "training": draw_training(pd.read_csv(histories), choice["seed"]),
        "selection": draw_selection(pd.read_csv(selection)),
        "timescales": draw_timescales(pd.read_csv(timescales), model["lag_ps"], *of_sites),
        "koopman": draw_koopman(model),
        "network": draw_network(model),
        "chapman_kolmogorov": draw_chapman_kolmogorov(read_json(chapman_kolmogorov)),
    }
    for name, path in outputs.items():
        save(figures[name], path)


@styled
def draw_site_comparison(points, result, cell, cell_timescales, outputs):
    """Draw the figures that systems with known sites have.

    Parameters
    ----------
    points, cell_timescales : paths of CSV files.
    result, cell : paths of JSON files.
    outputs : mapping of the figures' names to the PDFs to write.
    """
    points, comparison = pd.read_csv(points), read_json(result)
    figures = {
        "sites": draw_sites(points, comparison),
        "whole_cell": draw_whole_cell(read_json(cell), pd.read_csv(cell_timescales), points, comparison),
    }
    for name, path in outputs.items():
        save(figures[name], path)


@styled
def draw_structures(result, distributions, charges, profile, section, configurations, outputs):
    """Draw what surrounds the targets of each state.

    Parameters
    ----------
    result : path of a JSON file.
    distributions, charges, profile, section : paths of CSV files.
    configurations : path of an extxyz file.
    outputs : mapping of the figures' names to the PDFs to write.
    """
    result = read_json(result)
    figures = {
        "structure": draw_structure(result, pd.read_csv(distributions), pd.read_csv(charges)),
        "surroundings": draw_surroundings(read_extxyz(configurations)),
        "profile": draw_profile(pd.read_csv(profile), pd.read_csv(section)),
    }
    for name, path in outputs.items():
        save(figures[name], path)


@styled
def draw_transports(result, transitions, displacements, outputs):
    """Draw which transitions carry diffusion and conduction: from a JSON and CSVs to a PDF."""
    figure = draw_transport(read_json(result), pd.read_csv(transitions), pd.read_csv(displacements))
    save(figure, outputs["transport"])


@styled
def draw_order_comparison(result, distribution, profile, outputs):
    """Draw a bond order parameter beside the learned states: from a JSON and CSVs to a PDF."""
    save(draw_order(read_json(result), pd.read_csv(distribution), pd.read_csv(profile)), outputs["order"])


@styled
def draw_trajectory_comparison(result, outputs):
    """Draw the trajectories of a system side by side: from a JSON to a PDF."""
    result = read_json(result)
    several = result["trajectories"]
    labels, processes = ([one[key] for one in several] for key in ("label", "timescales_ps"))
    populations = [Interval.read(one["populations"]) for one in several]
    figure = draw_side_by_side(labels, populations, processes, [result["lag_ps"]] * len(several))
    save(figure, outputs["trajectories"])
