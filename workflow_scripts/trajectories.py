from gdyn.config import sections
from gdyn.kinetics.by_trajectory import analyse_trajectories
from gdyn.logs import job

with job(snakemake):
    analyse_trajectories(
        **snakemake.input, **snakemake.output, labels=snakemake.params.labels, **sections(snakemake.params.settings)
    )
