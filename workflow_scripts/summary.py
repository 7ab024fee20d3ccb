from gdyn.config import System
from gdyn.logs import job
from gdyn.report.summary import write_summary

with job(snakemake):
    write_summary(
        **snakemake.input,
        summary=snakemake.output.summary,
        name=snakemake.wildcards.system,
        system=System.model_validate(snakemake.params.settings),
    )
