from gdyn.builders import build
from gdyn.logs import job

with job(snakemake):
    build(
        data=snakemake.output.data,
        structure=snakemake.params.begin["structure"],
        seed=snakemake.params.begin["seed"],
        run=int(snakemake.wildcards.trajectory),
    )
