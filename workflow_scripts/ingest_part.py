from gdyn.config import sections
from gdyn.logs import job
from gdyn.trajectory.ingest import ingest_part

with job(snakemake):
    ingest_part(
        record=snakemake.input.record,
        before=snakemake.input.get("before") or None,
        store=snakemake.output.store,
        **sections(snakemake.params.settings),
    )
