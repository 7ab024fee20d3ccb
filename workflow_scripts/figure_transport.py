from gdyn.figures.draw import draw_transports
from gdyn.logs import job

with job(snakemake):
    draw_transports(**snakemake.input, outputs=dict(snakemake.output))
