from gdyn.figures.draw import draw_structures
from gdyn.logs import job

with job(snakemake):
    draw_structures(**snakemake.input, outputs=dict(snakemake.output))
