from gdyn.config import sections
from gdyn.logs import job
from gdyn.trajectory.ingest import ingest

with job(snakemake):
    ingest(dump=snakemake.input.dump, store=snakemake.output.store, **sections(snakemake.params.settings))
