from gdyn.config import sections
from gdyn.logs import job
from gdyn.selection import choose

with job(snakemake):
    choose(dict(snakemake.input), dict(snakemake.output), **sections(snakemake.params.settings))
