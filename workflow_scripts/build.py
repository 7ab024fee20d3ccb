from gdyn.builders import build
from gdyn.config import PEOLiTFSI
from gdyn.logs import job

with job(snakemake):
    build(
        data=snakemake.output.data,
        structure=PEOLiTFSI(**snakemake.params.structure),
        run=int(snakemake.wildcards.trajectory),
        seed=snakemake.params.seed,
    )
