from gdyn.figures.draw import draw_order_comparison
from gdyn.logs import job

with job(snakemake):
    draw_order_comparison(**snakemake.input, outputs=dict(snakemake.output))
