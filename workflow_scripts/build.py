from gdyn.logs import job
from gdyn.simulation.builders import build

with job(snakemake):
    build(
        data=snakemake.output.data,
        structure=snakemake.params.begin["structure"],
        seed=snakemake.params.begin["seed"],
        run=int(snakemake.wildcards.trajectory),
    )
