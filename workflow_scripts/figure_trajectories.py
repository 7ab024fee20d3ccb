from gdyn.figures.draw import draw_trajectory_comparison
from gdyn.logs import job

with job(snakemake):
    draw_trajectory_comparison(**snakemake.input, outputs=dict(snakemake.output))
