from gdyn.logs import job
from gdyn.report.pages import compose

with job(snakemake):
    compose(**snakemake.input, report=snakemake.output.report)
