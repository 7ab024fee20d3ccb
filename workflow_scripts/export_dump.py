from gdyn.logs import job
from gdyn.store import States
from gdyn.structure.export import export_dump

with job(snakemake):
    export_dump(States.read(snakemake.input.states), snakemake.input.trajectories, snakemake.output.dump)
