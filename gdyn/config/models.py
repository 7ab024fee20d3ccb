"""The typed models of the configuration.

The only place where a key, its type, its default or its meaning is written; the JSON schemas and
config/README.md are generated from here.
"""

from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    model_validator,
)

from gdyn.config.elements import ELEMENTS, respelled
from gdyn.config.networks import NETWORKS
from gdyn.config.schemes import SCHEMES
from gdyn.errors import ConfigError
from gdyn.units import UNIT_STYLES, multiple


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) or value is None else [value]


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


def _named(value: str, info: ValidationInfo) -> str:
    """A chemical element, or one of the species declared beside it."""
    if value in ELEMENTS or value in info.data.get("species", {value}):
        return value
    meant = f" (did you mean {respelled(value)!r}?)" if respelled(value) else ""
    raise ValueError(
        f"should be a chemical element{meant}, or a name that is declared with its mass under trajectory.species"
    )


PART_FRAMES = 2000  # of a part of a simulated run, by default
MOST_STATES = 8  # that are tried where their number is to be found
PILOT = "lag"  # the name of the trial on whose timescales a lag time is chosen
PILOT_STATES, PILOT_FRAMES = 4, 5  # its number of states, and its lag time in frames
SORT_STEPS = 1000  # after which LAMMPS sorts its atoms by default; a restart elsewhere changes rounding
NOW = "@now"  # behind the name of a system that is analysed as far as it has been simulated

T = TypeVar("T")
# A list, which may also be given as a single value; the mark is for the generator of the schema.
OneOrMore = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1, json_schema_extra={"or_one": True})]
Integer = Annotated[int, Strict()]
Number = Annotated[float, BeforeValidator(_no_bool)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[Integer, Field(ge=1)]
Value = str | Integer | Number
Fraction = Annotated[Number, Field(ge=0, le=1)]
if TYPE_CHECKING:
    NetworkName: TypeAlias = str
    SchemeName: TypeAlias = str
else:
    NetworkName, SchemeName = Literal[tuple(NETWORKS)], Literal[tuple(SCHEMES)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        defer_build=True,  # a job uses some of the sections, and all import this module
    )


class PEOLiTFSI(Section):
    """Chains of poly(ethylene oxide) with hydroxyl ends, and LiTFSI: OPLS-AA, CL&P and Aqvist's Li."""

    kind: Literal["peo_litfsi"]
    """Which builder."""
    chains: Count
    """Number of chains."""
    degree_of_polymerisation: Annotated[Integer, Field(ge=2)]
    """Repeat units per chain."""
    li_per_eo: Positive
    """Li ions per repeat unit; there are as many TFSI."""
    charge_scale: Positive = 1.0
    """Factor on the charges of the ions; 0.7 to 0.85 is often used in place of the polarisability that such a
    force field lacks."""
    density_g_cm3: Positive = 0.15
    """Density at which the molecules are scattered; the deck compresses them."""


class SiAu(Section):
    """Two {110} slabs of silicon, which meet across the periodic boundary along z, around a liquid of Si and Au."""

    kind: Literal["si_au"]
    """Which builder."""
    repeats: tuple[Count, Count]
    """Cells of the slabs along x ([1-10]) and y ([001])."""
    slab_layers: Annotated[Integer, Field(ge=2)]
    """Number of {110} layers in each slab."""
    liquid_atoms: Count
    """Number of atoms in the liquid."""
    si_fraction: Fraction
    """Fraction of these atoms that is silicon."""
    lattice_A: Positive = 5.5
    """Lattice constant of the slabs, A."""


class Water(Section):
    """Molecules of water, SPC/E."""

    kind: Literal["water"]
    """Which builder."""
    molecules: Count
    """Number of molecules."""
    density_g_cm3: Positive = 0.7
    """Density at which the molecules are scattered; the deck compresses them."""


Built = Annotated[PEOLiTFSI | SiAu | Water, Field(discriminator="kind")]


class Simulate(Section):
    """Trajectories that the workflow makes by running LAMMPS.

    The deck gets these LAMMPS variables: `seed`, `timestep` (in the deck's unit style), `steps` (of
    production), `dump_every` (steps), `dump_file` and `deck_dir`, with a `structure` also `data_file`
    and `elements`, besides those under `variables`. A deck that uses `go_on`, `restart_from`, `restart_every`,
    `restart_files` and `dump_from` as docs/tutorial.md shows is prepared once, and continues wherever it was
    interrupted; any other deck is run in one piece.
    """

    structure: Built | None = None
    """Starting structure to build: a LAMMPS data file for the deck to read."""

    deck: str
    """LAMMPS input script, relative to the folder of the system files."""
    runs: Count = 1
    """Number of independent trajectories to make."""
    length_ps: Positive
    """Length of the production of every run, ps. A deck that can continue is run further when this is raised."""
    part_ps: Positive | None = None
    """Length of a part, ps: each part is one LAMMPS job, which continues where the previous one ended, and has its
    own graph files, so that a longer run only adds files. Choose it so that a part fits into the time limit
    of a job. By default 2000 frames."""
    restart_ps: Positive | None = None
    """Time from one restart file to the next, ps: the most that is lost when LAMMPS is killed. By default a
    twentieth of a part, in whole thousands of steps, at which LAMMPS sorts its atoms."""
    ranks: Count = 1
    """MPI processes of a run of LAMMPS."""
    threads: Count = 1
    """Threads of each process, for styles of the suffixes omp, intel and kk."""
    suffix: Literal["omp", "opt", "gpu", "kk", "intel"] | None = None
    """Which accelerated styles LAMMPS uses where it has them, as with its option `-suffix`."""
    gpus: Annotated[Integer, Field(ge=0)] = 0
    """GPUs per node for the suffixes gpu and kk."""
    seed: Count = 1
    """Seed of the first run; every further run adds 1."""
    variables: dict[str, Value | list[Value]] = {}
    """Further variables for the deck, given to LAMMPS as `-var NAME VALUE`; a list has one value for each run."""

    @model_validator(mode="after")
    def _one_for_each_run(self) -> Self:
        for name, value in self.variables.items():
            if isinstance(value, list) and len(value) != self.runs:
                raise ValueError(f"variables.{name}: has {len(value)} values for {self.runs} runs; give one for each")
        return self

    def variables_of(self, run: int) -> dict[str, Value]:
        """The variables of one run."""
        return {name: value[run] if isinstance(value, list) else value for name, value in self.variables.items()}

    def restart_every(self, timestep_ps: float, steps: int) -> int:
        """Steps from one restart file to the next, in a part of so many."""
        if self.restart_ps:
            return max(1, round(self.restart_ps / timestep_ps))
        return max(SORT_STEPS, steps // 20 // SORT_STEPS * SORT_STEPS)

    @model_validator(mode="after")
    def _has_styles_for_it(self) -> Self:
        if self.threads > 1 and self.suffix not in ("omp", "intel", "kk"):
            raise ValueError(
                f"threads: {self.threads} threads need styles that use them; set suffix: omp, or take more ranks"
            )
        if self.gpus and self.suffix not in ("gpu", "kk"):
            raise ValueError(f"gpus: {self.gpus} GPUs need styles that use them; set suffix: gpu or kk")
        if self.suffix == "gpu" and not self.gpus:
            raise ValueError("suffix: gpu needs a GPU; set gpus: 1")
        return self


class Trajectory(Section):
    """The trajectories and what a LAMMPS dump does not say about itself."""

    files: OneOrMore[str | Annotated[list[str], Field(min_length=1)]] | None = None
    """Dumps, one entry per independent trajectory, relative to the working directory; leave it out
    where the system has a `simulate` section. A pattern such as `run1.*.lammpstrj`, or a list inside
    the list, names the parts of one trajectory in their order (a pattern sorts numbers as numbers).
    Besides LAMMPS text dumps (plain, gz, bz2, zst) every format of MDAnalysis is read."""
    topology: str | None = None
    """LAMMPS data file of the run, for what a dump does not say: masses (from which elements follow),
    charges, molecules. Formats without atoms, such as dcd and xtc, need it."""
    units: Literal["real", "metal", "electron", "si", "cgs", "micro", "nano"]
    """LAMMPS unit style of the run that wrote the dump."""
    timestep: Positive
    """Time step of that run, in the time unit of its unit style."""
    frame_interval_ps: Positive
    """Time between two frames, ps. A multiple of the dump's own interval takes every second, third ... frame."""
    planned_ps: Positive | None = None
    """Length that the trajectories will have, ps, where they are still being written: the report states how much of it
    there is."""
    not_begun: list[str] = []
    """Names of trajectories that are planned but have hardly any frames yet: the report states them."""
    labels: list[str] | None = None
    """Names of the trajectories in the report, where they differ: `[900 K, 1000 K]`."""
    species: dict[Annotated[str, Field(pattern=r"^\S+$")], Positive] = {}
    """Names that are not chemical elements, such as coarse-grained beads or united atoms, each with its mass, u:
    `{W: 72.0}`, which then is not tungsten."""
    elements: dict[Annotated[int, Field(ge=1)], Annotated[str, AfterValidator(_named)]] = {}
    """Element (or one of `species`) of each LAMMPS atom type, where neither an `element` column nor masses give it."""

    @property
    def timestep_ps(self) -> float:
        return self.timestep * UNIT_STYLES[self.units].time_ps

    @property
    def steps_per_frame(self) -> int:
        return multiple(self.frame_interval_ps, self.timestep_ps, "trajectory.frame_interval_ps", "the timestep")


class Interface(Section):
    """Keeps only those selected atoms that are in a liquid or in the first layers of the crystal beside it.

    The crystal may lie across the periodic boundary, and grow or melt later on.
    """

    liquid: str
    """MDAnalysis selection of atoms that are in the liquid alone, e.g. `element Au`: the crystal is the longest
    stretch of the axis without them."""
    layers: Count = 2
    """Number of layers of the crystal on each of its two sides; minima of the density of the selected atoms separate
    them."""
    axis: Literal["x", "y", "z"] = "z"
    """Lattice vector across the interfaces (x: the first, z: the third)."""


class Targets(Section):
    """The atoms (or molecules) whose dynamics is learned."""

    selection: str
    """MDAnalysis selection of the target atoms, evaluated on the first frame of each trajectory, e.g.
    `element Li` or `type 3`. It may use positions, as in `element Si and prop z < 20`: in A, wrapped
    into the box, and counted from its corner (xlo, ylo, zlo)."""
    dynamic_ps: OneOrMore[Annotated[Number, Field(ge=0)]] | None = None
    """Times since the beginning of each trajectory at which the selection is evaluated again, ps. From one
    to the next, the targets are those selected at the earlier one; before the first time there are none."""
    interface: Interface | None = None
    """For a crystal beside a liquid."""
    group_by: Literal["atom", "molecule"] = "atom"
    """Whether each selected atom is one target, or all selected atoms of one molecule are
    one target."""


class Graphs(Section):
    """The graph of neighbors around every atom."""

    neighbors: Count
    """Number of nearest neighbors of each atom, periodic images counted."""
    shards: Count = 2
    """Number of files into which the graphs of one trajectory, or of each part of a simulated one, are divided; each
    is one job."""


class Splits(Section):
    """Which part of the data is used for what, as fractions from 0 to 1."""

    by: Literal["time", "trajectory", "target"] = "time"
    """What is divided: the length of every trajectory, the list of trajectories, or the targets of every
    trajectory (in random order)."""
    train: tuple[Fraction, Fraction] = (0.0, 0.4)
    """Part that the networks are trained on."""
    validation: tuple[Fraction, Fraction] = (0.4, 0.5)
    """Part that chooses among epochs, seeds and hyperparameters."""
    test: tuple[Fraction, Fraction] = (0.5, 1.0)
    """Part that every reported number comes from; opened only after the choice."""

    def as_dict(self) -> dict[str, tuple[float, float]]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def of_first_model(self) -> Self:
        """The same test frames, and half of the others to judge a first model by: these choose the lag time.

        As they are where the validation frames do not follow those of training.
        """
        if self.train[1] != self.validation[0]:
            return self
        begin, end = self.train[0], self.validation[1]
        middle = 0.5 * (begin + end)
        return self.model_copy(update={"train": (begin, middle), "validation": (middle, end)})

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        parts = sorted(self.as_dict().items(), key=lambda item: item[1])
        for name, (begin, end) in parts:
            if not begin < end:
                raise ValueError(f"{name} begins at {begin:g} and ends at {end:g}: give [begin, end] with begin < end")
        for (first, (_, end)), (second, (begin, _)) in pairwise(parts):
            if begin < end:
                raise ValueError(
                    f"{first} ends at {end:g} but {second} begins at {begin:g}: the splits overlap; "
                    f"begin {second} at {end:g} or later"
                )
        return self


class Network(Section):
    """Settings of the network that are not searched over."""

    radial_max_A: Positive = 7.0
    """Centre of the last Gaussian of the radial basis, A."""
    radial_step_A: Positive = 0.2
    """Distance between the centres of successive Gaussians, and their width, A."""
    normalisation: Literal["layer", "batch"] = "layer"
    """What the messages of a convolution are normalised over: the features of an atom, or, for each feature,
    the atoms (by averages over past batches)."""


class Search(Section):
    """Hyperparameters.

    Each may be one value or a list; every combination is a trial, and adding a value trains only the
    new trials.
    """

    n_states: Literal["auto"] | OneOrMore[Annotated[Integer, Field(ge=2)]] = "auto"
    """Number of states. `auto`: 2, 3, ... up to 8, until a state more adds no process."""
    lag_ps: Literal["auto"] | OneOrMore[Positive] = "auto"
    """Lag time of the Koopman model, ps; a whole multiple of the frame interval. `auto`: one from which on the
    timescales of a first model do not rise, and well below them."""
    width: OneOrMore[Count] = [16]
    """Number of features of an atom inside the network."""
    convolutions: OneOrMore[Count] = [2]
    """Number of graph convolutions: how many neighbor shells away a target can see. For a VAMPnet, hidden layers."""
    learning_rate: OneOrMore[Positive] = [0.005]
    """Step size of the Adam optimiser."""

    @property
    def numbers_of_states(self) -> list[int]:
        """Those that may be trained."""
        return list(range(2, MOST_STATES + 1)) if self.n_states == "auto" else list(self.n_states)

    @property
    def lags_ps(self) -> list[float]:
        """The lag times that are set, ps; none where one is to be found."""
        return [] if self.lag_ps == "auto" else list(self.lag_ps)


class Baseline(Section):
    """Global VAMPnets that are trained for comparison with the graph network.

    Each sees where all targets are in the cell, and learns states of the cell as a whole. Their results are part of
    the comparison with known `sites`.
    """

    n_states: OneOrMore[Annotated[Integer, Field(ge=2)]]
    """Numbers of states; each is a separate VAMPnet."""
    lag_ps: Positive | None = None
    """Lag time of the Koopman model, ps; by default that of the search, the first if there are several."""
    width: Count = 64
    """Number of features in a hidden layer."""
    layers: Count = 3
    """Number of hidden layers."""
    learning_rate: Positive = 0.001
    """Step size of the Adam optimiser."""

    def trial(self, n_states: int, lag_ps: float = 0.0) -> "Trial":
        """Of a number of states; at a lag time, if it has none itself."""
        return Trial(
            model="vampnet",
            n_states=n_states,
            lag_ps=self.lag_ps or lag_ps,
            width=self.width,
            convolutions=self.layers,
            learning_rate=self.learning_rate,
        )


class Trial(Section):
    """One point of the search."""

    model: NetworkName = "gdynet"
    n_states: int
    lag_ps: float
    """Lag time, ps; 0 where it is still to be found."""
    width: int
    convolutions: int
    learning_rate: float

    @property
    def name(self) -> str:
        """The trial as a folder name that says its values, so that adding one moves no other."""
        values = [f"{key}~{f'{value:.12g}' if value else 'auto'}" for key, value in self if key != "model"]
        return "_".join(values if self.model == "gdynet" else [f"model~{self.model}", *values])


class Training(Section):
    """How a network is trained."""

    scheme: SchemeName = Field(
        default="simplex",
        description=f"How pure states are reached: {'; '.join(scheme.means for scheme in SCHEMES.values())}.",
    )
    batch_samples: Annotated[Integer, Field(ge=16)] = 2048
    """Number of time-lagged pairs of a target's surroundings in one step. Below about 1000 the score itself
    becomes biased. Large batches cost no memory: their gradient is put together from pieces."""
    chain_frames: Annotated[Integer, Field(ge=2)] = 2
    """Number of frames in a chain of pairs, one lag time apart. Longer chains embed fewer frames for as
    many pairs, but their pairs are more correlated."""
    epoch_steps: Count = 25
    """Optimisation steps between two validations. Where fewer steps are enough for all pairs, a validation
    follows every pass, and `patience` and `max_epochs` cover the same numbers of steps."""
    max_epochs: Count = 40
    """Largest number of epochs in each stage."""
    patience: Count = 4
    """After this many epochs in a row without a better validation, the learning rate drops or the stage ends."""
    learning_rate_drops: Annotated[Integer, Field(ge=0)] = 1
    """Number of times that the learning rate drops, to 0.3 of what it was, before a stage ends."""
    crispness: Annotated[Number, Field(ge=0)] = 0.1
    """Weight of the crispness of the states relative to the VAMP-2 score, in the stages that have it; it is lowered
    where it would cost more than `timescale_loss`."""
    timescale_loss: Annotated[Number, Field(gt=0, lt=1)] = 0.03
    """Fraction of any timescale that may be lost in making the states pure, after their rotation."""
    warm_start: str | None = None
    """Model file from whose weights, as far as they fit, training starts."""
    memory_mb: Annotated[Integer, Field(ge=100)] = 4000
    """Memory of a training for graphs and for what the network computes from them. Graphs that need more
    are read from the shards repeatedly; batches that need more are embedded in pieces. A GPU that the job has asked
    for (`gpu: 1` in the profile) is used as far as it is free; on one that trainings share, this much."""
    processes: Count = 1
    """Processes that train one network together, each on its own GPU where there are GPUs. The result
    is the same."""
    nodes: Count = 1
    """Nodes of a cluster over which these processes are spread evenly; more than one needs Slurm."""
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"
    """Arithmetic of the network on a GPU; statistics are always float64."""
    tensorboard: bool = False
    """Whether the history is also written for TensorBoard, to `tensorboard/` beside the model."""

    @model_validator(mode="after")
    def _spread_evenly(self) -> Self:
        if self.processes % self.nodes:
            raise ValueError(
                f"nodes: {self.processes} processes cannot be spread evenly over {self.nodes} nodes; "
                f"make training.processes a multiple of it"
            )
        return self


class Selection(Section):
    """Which model is chosen."""

    rule: Literal["processes", "paper"] = "processes"
    """`processes`: states are added while they add a process that is resolved at the lag time, raises the score on
    the validation frames beyond its error, and is found by at least half of the seeds; then the shortest lag time at
    which such a model passes the Chapman-Kolmogorov test and its timescales do not rise. `paper`: the fewest states and
    then the shortest lag whose model passes the test and whose timescales are flat."""
    n_states: Annotated[Integer, Field(ge=2)] | None = None
    """Only models of this number of states."""
    lag_ps: Positive | None = None
    """Only models of this lag time, ps."""


class Kinetics(Section):
    """The analysis of the states."""

    timescale_lags_ps: OneOrMore[Positive] | None = None
    """Lag times of the implied-timescales figure, ps; by default a series from one
    frame to ten lag times."""
    chapman_kolmogorov_steps: Annotated[Integer, Field(ge=2)] = 10
    """Number of lag times that the Chapman-Kolmogorov test looks ahead."""
    intervals: Literal["auto", "time", "trajectories", "targets"] = "auto"
    """What is taken as independent for the 95 % intervals: stretches of time, trajectories,
    or random groups of targets. `auto` takes trajectories where there are five or more of similar length; else
    stretches of time; or, where these are shorter than five times the slowest timescale and there are many targets,
    groups of targets."""
    chunks: Literal["auto"] | Annotated[Integer, Field(ge=3, le=1000)] = "auto"
    """Number of stretches of time, or groups of targets, into which the test frames are divided for the intervals.
    `auto`: as many as are independent, from 5 to 20."""


class OrderParameter(Section):
    """A bond order parameter, with which the learned states are compared.

    The correlation of the Steinhardt vectors of neighbors: about 1 in a crystal, about 0 in a liquid.
    """

    degree: Annotated[Integer, Field(ge=1, le=12)]
    """Degree l of the spherical harmonics: 3 for diamond, 6 for close-packed crystals."""
    neighbors: Annotated[Integer, Field(ge=2)]
    """Number of nearest neighbors: 4 for diamond, 12 for close-packed crystals."""
    atoms: str = "all"
    """MDAnalysis selection of the atoms to analyse, targets and neighbors."""
    threshold: Annotated[Number, Field(ge=-1, le=1)] | None = None
    """Value above which an atom counts as crystal; by default the one that best divides the distribution in two,
    by Otsu's method."""


class Structure(Section):
    """What surrounds the targets of each state."""

    groups: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Groups of atoms whose distributions around the targets are counted: MDAnalysis selections by name, on the first
    frame of each trajectory. By default, every element."""
    centres: str = "all"
    """MDAnalysis selection of the atoms of the targets from which distances are measured, where targets are molecules.
    The other atoms of a target are not counted as surroundings."""
    max_A: Positive = 7.0
    """Largest distance from a target, A; in small cells periodic images count."""
    bin_A: Positive = 0.05
    """Width of a shell, A."""
    coordinating: str | None = None
    """MDAnalysis selection of the atoms that coordinate a target: the first minimum of their distribution ends the
    first shell, and a molecule counts with its whole charge from its nearest such atom outwards. By default the
    elements with the nearest, sharpest peak around the targets; the report names them."""
    first_shell_A: Positive | None = None
    """End of the first shell, A; by default that first minimum, with a warning where it is not clear."""
    frames: Count = 2000
    """Largest number of test frames to analyse."""
    profile: Literal["x", "y", "z"] = "z"
    """Lattice vector along which the states are counted (x: the first, z: the third)."""
    profile_bin_A: Positive = 0.5
    """Width of a bin of that count, A."""
    order_parameter: OrderParameter | None = None
    """For targets in a crystal and in a liquid."""
    representatives: Count = 3
    """Number of typical surroundings of each state to write and draw."""

    @model_validator(mode="after")
    def _shell_is_counted(self) -> Self:
        if self.first_shell_A and self.first_shell_A > self.max_A:
            raise ValueError(
                f"first_shell_A: {self.first_shell_A:g} A is beyond max_A ({self.max_A:g} A), the largest distance; "
                f"raise max_A"
            )
        return self


class Transport(Section):
    """Which transitions carry diffusion and conduction."""

    temperature_K: Positive
    """Temperature of the run, K."""
    reference: str = "all"
    """MDAnalysis selection of the atoms whose centre of mass is taken to be at rest: all, or a rigid lattice."""
    charges: Literal["atoms", "molecules"] = "molecules"
    """Charges that make up the charge of a state, within its first shell: the partial charges of atoms, or those of
    whole molecules, since partial charges cut large molecules in pieces."""
    lags_ps: OneOrMore[Positive] | None = None
    """Times of the displacements, ps; by default a series up to half a block."""


class SiteType(Section):
    """One kind of known site in the cell."""

    fractional: Annotated[list[tuple[Number, Number, Number]], Field(min_length=1)]
    """Positions of the sites of this type, in fractions of the lattice vectors."""
    core_radius_A: Positive
    """Radius of the core, A: a target within it has arrived at the site, and stays assigned to that site until
    it reaches the core of another."""


class Bond(Section):
    """Two types of site between which a target can hop directly."""

    between: tuple[str, str]
    """The two types."""
    within_A: Positive
    """Distance below which sites of these types are neighbors, A."""


class Sites(Section):
    """Known sites of the targets.

    A reference for the learned states, and the network of sites from which the dynamics in the whole
    cell is rebuilt.
    """

    types: Annotated[dict[str, SiteType], Field(min_length=1)]
    """The types of site, by name."""
    bonds: list[Bond] = []
    """Which sites are neighbors."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        for bond in self.bonds:
            for name in bond.between:
                if name not in self.types:
                    raise ValueError(
                        f"bonds name the site type {name!r}, which is not under types ({', '.join(self.types)})"
                    )
        return self


class System(Section):
    """One material: its trajectories, its targets, and what to learn about them."""

    description: str = ""
    """One line for the report."""
    scale: str | None = None
    """Which of the `scales` is run; `--config scale=NAME` chooses another."""
    scales: dict[str, dict] = {}
    """Variants of this system by name, such as a short run for a test: keys that replace those of this file."""
    simulate: Simulate | None = None
    """Only where the workflow runs LAMMPS itself."""
    trajectory: Trajectory
    targets: Targets
    apply: str | None = None
    """Name of another system whose model is applied to this one; nothing is trained here. The model brings
    `model`, `network`, `search`, `seeds`, `selection` and `graphs.neighbors` with it; by default, `splits` are then
    0 to 0.1, to 0.2 and to 1."""
    graphs: Graphs
    splits: Splits = Splits()
    model: NetworkName = Field(
        default="gdynet",
        description=f"What is learned: {', or '.join(f'{kind.learns} (`{name}`)' for name, kind in NETWORKS.items())}.",
    )
    network: Network = Network()
    search: Search = Search()
    seeds: Annotated[list[Count], Field(min_length=1)] = [1, 2, 3, 4, 5]
    """Each trial is trained once from each of these random seeds."""
    training: Training = Training()
    selection: Selection = Selection()
    kinetics: Kinetics = Kinetics()
    structure: Structure = Structure()
    transport: Transport | None = None
    export: Literal["lammps"] | None = None
    """Whether the test states are also written as a LAMMPS dump, `states/test.lammpstrj`, to be coloured in OVITO:
    `state` is the most probable state, counted from 1, and `p0` the probability of state 1."""
    sites: Sites | None = None
    baseline: Baseline | None = None

    @property
    def simulated(self) -> Simulate:
        """The section ``simulate`` of a system that has one."""
        assert self.simulate
        return self.simulate

    @property
    def reads_graphs(self) -> bool:
        """Whether the states are those of single targets, by the graph around each."""
        return NETWORKS[self.model].reads == "graphs"

    @property
    def n_trajectories(self) -> int:
        return self.simulate.runs if self.simulate else len(self.trajectory.files or [])

    @property
    def labels(self) -> list[str]:
        """The names of the trajectories."""
        return self.trajectory.labels or [f"trajectory {number}" for number in range(self.n_trajectories)]

    def n_parts(self, goes_on: bool) -> int:
        """Number of parts of each simulated run: one, if its deck cannot continue.

        Raises
        ------
        ConfigError : the last one is too short for its graphs to be divided into files.
        """
        n = -(-self._frames // self._part_frames) if goes_on else 1
        first, every = (n - 1) * self._part_frames if goes_on else 0, self.trajectory.frame_interval_ps
        last = self._frames - first + (n == 1)
        if min(last, self._part_frames if n > 1 else last) < self.graphs.shards:
            raise ConfigError(
                f"graphs.shards: the last part of a run of {self.simulated.length_ps:g} ps (simulate.length_ps) has "
                f"{last} frames of {every:g} ps, which cannot be divided into {self.graphs.shards} files; lower it, or "
                f"choose another length_ps or part_ps"
            )
        return n

    def stretch(self, run: int, part: int, goes_on: bool) -> dict[str, Any]:
        """One part of a simulated run in plain values: all that its frames depend on except the deck."""
        every = self.trajectory.steps_per_frame
        frames = [part * self._part_frames, min((part + 1) * self._part_frames, self._frames)]
        return {
            "steps": [every * frame for frame in frames] if goes_on else [0, every * self._frames],
            "dump_every": every,
            "timestep": self.trajectory.timestep,
            "timestep_ps": self.trajectory.timestep_ps,
            "seed": self.simulated.seed + run,
            "variables": self.simulated.variables_of(run),
        }

    @property
    def _frames(self) -> int:
        """Frame intervals of a simulated run, and of a part of it."""
        return round(self.simulated.length_ps / self.trajectory.frame_interval_ps)

    @property
    def _part_frames(self) -> int:
        part_ps = self.simulated.part_ps
        return round(part_ps / self.trajectory.frame_interval_ps) if part_ps else PART_FRAMES

    @property
    def hops(self) -> int:
        """How many neighbors away the deepest network of the search sees."""
        return max(self.search.convolutions)

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """Every trial of the search by its name."""
        keys = Search.model_fields
        values = {key: getattr(self.search, key) for key in keys}
        values |= {"n_states": self.search.numbers_of_states, "lag_ps": self.search.lags_ps or [0.0]}
        points = product(*values.values())
        trials = [Trial(model=self.model, **dict(zip(keys, point, strict=True))) for point in points]
        return {trial.name: trial for trial in trials}

    @cached_property
    def pilots(self) -> dict[str, Trial]:
        """The first model, on whose timescales a lag time is chosen, where one is to be found."""
        if self.search.lag_ps != "auto":
            return {}
        first = next(iter(self.trials.values()))
        return {
            PILOT: first.model_copy(
                update={"n_states": PILOT_STATES, "lag_ps": PILOT_FRAMES * self.trajectory.frame_interval_ps}
            )
        }

    @cached_property
    def baselines(self) -> dict[str, Trial]:
        """The trials of the baseline by their names."""
        lag_ps = next(iter(self.trials.values())).lag_ps
        trials = [self.baseline.trial(n_states, lag_ps) for n_states in self.baseline.n_states] if self.baseline else []
        return {trial.name: trial for trial in trials}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.simulate) == bool(self.trajectory.files):
            raise ValueError(
                "give either trajectory.files (your dumps) or a simulate section (LAMMPS is run), and not both"
            )
        labels = self.trajectory.labels
        if labels and len(labels) != self.n_trajectories:
            raise ValueError(
                f"trajectory.labels: there are {len(labels)} for {self.n_trajectories} trajectories; give one for each"
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} names a seed twice; each seed is one training run")
        for key in ("n_states", "lag_ps"):
            value, searched = getattr(self.selection, key), getattr(self.search, key)
            if value is not None and searched != "auto" and value not in searched:
                raise ValueError(
                    f"selection.{key}: {value:g} is not among search.{key} "
                    f"({', '.join(f'{one:g}' for one in searched)}); add it there"
                )
        if self.simulate and self.trajectory.planned_ps:
            raise ValueError(
                "trajectory.planned_ps: where LAMMPS is run here, simulate.length_ps sets it; leave it out"
            )
        interval = self.trajectory.frame_interval_ps
        try:
            _ = self.trajectory.steps_per_frame
            for key, lags in (
                ("search.lag_ps", self.search.lags_ps),
                ("kinetics.timescale_lags_ps", self.kinetics.timescale_lags_ps or []),
                ("baseline.lag_ps", [self.baseline.lag_ps] if self.baseline and self.baseline.lag_ps else []),
            ):
                for lag in lags:
                    multiple(lag, interval, key, "the frame interval")
            if self.simulate:
                multiple(self.simulate.length_ps, interval, "simulate.length_ps", "the frame interval")
                late = max(self.targets.dynamic_ps or [0.0])
                if late > self.simulate.length_ps:
                    raise ConfigError(
                        f"targets.dynamic_ps: {late:g} ps is beyond the end of the runs, which are "
                        f"{self.simulate.length_ps:g} ps long (simulate.length_ps); remove that time"
                    )
                if self.simulate.part_ps:
                    multiple(self.simulate.part_ps, interval, "simulate.part_ps", "the frame interval")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if self.baseline and self.apply:
            raise ValueError("baseline: nothing is trained in a system with apply; leave it out")
        if self.transport and not self.reads_graphs:
            raise ValueError(
                f"transport: the states of a {self.model} are those of all targets together, and what each of them "
                f"carries is asked for; remove the section, or model"
            )
        if self.baseline and not (self.sites and self.reads_graphs):
            raise ValueError(
                "baseline: VAMPnets are compared with a graph network on known sites; "
                "give sites and model: gdynet, or leave the section out"
            )
        if (self.baseline or not self.reads_graphs) and (self.splits.by == "target" or self.targets.dynamic_ps):
            raise ValueError(
                "model: a VAMPnet sees all targets at once, so they can neither be divided into splits nor change in "
                "time; set splits.by to time or trajectory, and leave out targets.dynamic_ps"
            )
        if self.splits.by == "trajectory":
            n = self.n_trajectories
            for name, (begin, end) in self.splits.as_dict().items():
                if round(begin * n) == round(end * n):
                    raise ValueError(
                        f"splits.{name}: [{begin:g}, {end:g}] of {n} trajectories holds none; "
                        f"give fractions that hold at least one, or divide by time"
                    )
        if self.simulate and self.splits.by == "time":
            for name, (begin, end) in self.splits.as_dict().items():
                length = (end - begin) * self.simulate.length_ps
                longest = max(self.search.lags_ps, default=0.0)
                if longest >= length:
                    raise ValueError(
                        f"search.lag_ps: a lag of {longest:g} ps does not fit into the "
                        f"{length:g} ps of the {name} split; shorten the lag or lengthen the trajectory"
                    )
        return self


class Config(Section):
    """What to run: `config/config.yaml`."""

    systems: OneOrMore[str]
    """The systems to run; each is the file `<system>.yaml` in `system_dir`."""
    system_dir: Path = Path("config/systems")
    """Folder of the system files, relative to the working directory."""
    scale: str | None = None
    """Which of its `scales` every system that has them runs, instead of its own `scale`: `--config scale=test`."""
    until: Literal["now"] | None = None
    """`--config until=now` analyses simulations as far as they have been written, running or stopped, as
    separate systems, whose results are in `results/<system>@now/`."""
    lammps: Annotated[str, Field(pattern=r"\S")] = "lmp"
    """Command that starts LAMMPS, e.g. `lmp_mpi`; only used by systems that simulate. Where `simulate.ranks` is
    above 1, `srun` (in a job of Slurm) or `mpiexec` is put before it, unless `{ranks}` (and `{threads}`) in it show
    where their numbers go: `mpirun -np {ranks} --bind-to none lmp_mpi`."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks are trained and applied; auto uses a GPU where there is one."""
    defaults: dict = {}
    """Settings for all systems: the same keys as in a system file, which overrides them."""

    @property
    def names(self) -> list[str]:
        """The names of the systems in the workflow."""
        return [f"{name}{NOW}" if self.until else name for name in self.systems]
