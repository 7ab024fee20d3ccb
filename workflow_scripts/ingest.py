from gdyn.config import sections
from gdyn.logs import job
from gdyn.trajectory.ingest import ingest

with job(snakemake):
    ingest(files=snakemake.input.files, store=snakemake.output.store, **sections(snakemake.params.settings))
