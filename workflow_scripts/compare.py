from gdyn.logs import job
from gdyn.report.comparison import compare

with job(snakemake):
    compare(**snakemake.input, **snakemake.output)
