from gdyn.config import sections
from gdyn.logs import job
from gdyn.selection import write_added

with job(snakemake):
    write_added(**snakemake.input, result=snakemake.output.result, **sections(snakemake.params.settings))
