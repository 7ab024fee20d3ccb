from gdyn.logs import job
from gdyn.report.pages import compose

with job(snakemake):
    compose(
        summary=snakemake.input.summary,
        results=snakemake.input.results,
        figures=snakemake.input.figures,
        report=snakemake.output.report,
    )
