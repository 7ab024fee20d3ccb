from gdyn.config import sections
from gdyn.kinetics.analysis import analyse
from gdyn.logs import job

with job(snakemake):
    analyse(
        **snakemake.input,
        koopman=snakemake.output.koopman,
        implied_timescales=snakemake.output.timescales,
        **sections(snakemake.params.settings),
    )
