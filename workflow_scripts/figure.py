from gdyn.analyses.draw import draw
from gdyn.logs import job

with job(snakemake):
    draw(snakemake.wildcards.figure, snakemake.input.results, snakemake.output.figure)
