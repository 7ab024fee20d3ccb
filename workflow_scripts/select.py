from gdyn.config import sections
from gdyn.logs import job
from gdyn.selection import select

with job(snakemake):
    select(
        **snakemake.input,
        chosen_model=snakemake.output.model,
        choice=snakemake.output.choice,
        chosen_histories=snakemake.output.histories,
        candidates_table=snakemake.output.candidates,
        **sections(snakemake.params.settings),
    )
