from gdyn.config import sections
from gdyn.kinetics.site_analysis import compare_with_sites
from gdyn.logs import job

with job(snakemake):
    compare_with_sites(**snakemake.input, **snakemake.output, **sections(snakemake.params.settings))
