from gdyn.analyses.run import analyse
from gdyn.logs import job

with job(snakemake):
    analyse(snakemake.rule, dict(snakemake.input), dict(snakemake.output), dict(snakemake.params))
