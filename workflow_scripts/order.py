from gdyn.config import sections
from gdyn.logs import job
from gdyn.structure.order import compare_order

with job(snakemake):
    compare_order(**snakemake.input, **snakemake.output, **sections(snakemake.params.settings))
