from gdyn.figures.draw import draw_site_comparison
from gdyn.logs import job

with job(snakemake):
    draw_site_comparison(**snakemake.input, outputs=dict(snakemake.output))
