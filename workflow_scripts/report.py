from gdyn.logs import job
from gdyn.report.pages import compose

with job(snakemake):
    compose(
        summary=snakemake.input.summary,
        figures=snakemake.input.figures,
        captions=snakemake.input.captions,
        report=snakemake.output.report,
    )
