from gdyn.logs import job
from gdyn.structure.export import export_dump

with job(snakemake):
    export_dump(**snakemake.input, **snakemake.output)
