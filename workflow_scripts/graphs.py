from gdyn.config import sections
from gdyn.graphs.build import build_shard
from gdyn.logs import job

with job(snakemake):
    build_shard(
        stores=snakemake.input.stores,
        shard=snakemake.output.shard,
        trajectory=int(snakemake.wildcards.trajectory),
        number=int(snakemake.wildcards.shard),
        hops=snakemake.params.hops,
        **sections(snakemake.params.settings),
    )
