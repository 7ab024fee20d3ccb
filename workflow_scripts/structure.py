from gdyn.config import sections
from gdyn.logs import job
from gdyn.structure.analysis import analyse_structure

with job(snakemake):
    analyse_structure(**snakemake.input, **snakemake.output, **sections(snakemake.params.settings))
