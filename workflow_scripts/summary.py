from gdyn.config import System
from gdyn.logs import job
from gdyn.report.summary import summarise

with job(snakemake):
    summarise(
        **snakemake.input,
        summary=snakemake.output.summary,
        name=snakemake.wildcards.system,
        system=System.model_validate(snakemake.params.settings),
    )
