from gdyn.config import sections
from gdyn.logs import job
from gdyn.transport.analysis import analyse_transport

with job(snakemake):
    analyse_transport(**snakemake.input, **snakemake.output, **sections(snakemake.params.settings))
