from gdyn.figures.draw import draw_kinetics
from gdyn.logs import job

with job(snakemake):
    draw_kinetics(**snakemake.input, outputs=dict(snakemake.output))
