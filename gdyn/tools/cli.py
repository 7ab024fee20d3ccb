"""The command ``gdyn``: inspecting files, drafting a system file, and the progress of the systems."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import gdyn
from gdyn.config import load_config, load_system
from gdyn.errors import GdynError
from gdyn.files import whole_file
from gdyn.logs import LOG
from gdyn.units import UNIT_STYLES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    level = LOG.level
    LOG.setLevel(logging.ERROR)  # the warnings about a dump are part of its description
    try:
        return {"inspect": _inspect, "new": _new, "status": _status}[options.command](options)
    except GdynError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        LOG.setLevel(level)


def parser() -> argparse.ArgumentParser:
    """Of the command."""
    parser = argparse.ArgumentParser(
        prog="gdyn", description="Graph dynamical networks for LAMMPS trajectories; the workflow itself is Snakemake's."
    )
    parser.add_argument("--version", action="version", version=f"gdyn {gdyn.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    look = commands.add_parser(
        "inspect", help="show what a dump, another trajectory, a LAMMPS data file or a file of gdyn holds"
    )
    look.add_argument("files", nargs="+", metavar="FILE")
    new = commands.add_parser("new", help="draft a system file for LAMMPS dumps, as far as the files allow")
    new.add_argument("name", metavar="NAME", help="name of the system; the file is config/systems/NAME.yaml")
    new.add_argument("dumps", nargs="+", metavar="DUMP", help="LAMMPS dumps of the system, all of its runs")
    new.add_argument("--topology", metavar="FILE", help="LAMMPS data file of the run")
    new.add_argument("--units", choices=sorted(UNIT_STYLES), help="LAMMPS unit style of the run")
    new.add_argument("--timestep", type=float, help="time step of the run, in its time unit")
    new.add_argument("--targets", metavar="SELECTION", help="MDAnalysis selection of the target atoms")
    new.add_argument("--system-dir", default="config/systems", metavar="DIR", help="folder of the system files")
    far = commands.add_parser("status", help="show how far the systems are, without disturbing them")
    far.add_argument("systems", nargs="*", metavar="SYSTEM", help="by default those of the configuration")
    far.add_argument("--configfile", default="config/config.yaml", metavar="FILE", help="the workflow's configuration")
    far.add_argument("--results", default="results", metavar="DIR", help="folder of the results")
    return parser


def _inspect(options: argparse.Namespace) -> int:
    from gdyn.tools.inspect import inspect

    status = 0
    for place, path in enumerate(options.files):
        try:
            print("\n".join(inspect(path)), end="\n\n" if place < len(options.files) - 1 else "\n")
        except GdynError as error:
            print(error, file=sys.stderr)
            status = 1
    return status


def _new(options: argparse.Namespace) -> int:
    from gdyn.tools.draft import draft

    path = Path(options.system_dir, f"{options.name}.yaml")
    if path.exists():
        raise GdynError(f"{path}: this system exists already; choose another name or remove the file")
    made = draft(options.name, options.dumps, options.topology, options.units, options.timestep, options.targets)
    with whole_file(path) as temporary:
        temporary.write_text(made.text, encoding="utf-8")
    print(f"{path} has been written.")
    for sentence in made.settled:
        print(f"  {sentence}")
    if made.missing:
        print(f"To fill in, because no file says it: {', '.join(made.missing)}.")
    else:
        config = load_config({"systems": [options.name], "system_dir": options.system_dir})
        load_system(options.name, config)
    folder = "" if options.system_dir == "config/systems" else f" --config system_dir={options.system_dir}"
    print(f"Then: snakemake -n -q rules --cores 1 results/{options.name}/report.pdf{folder}")
    return 0


def _status(options: argparse.Namespace) -> int:
    from gdyn.tools.status import status

    print("\n".join(status(options.configfile, options.systems, options.results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
