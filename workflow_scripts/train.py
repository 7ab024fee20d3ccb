from gdyn.config import Trial, sections
from gdyn.logs import job
from gdyn.training.loop import train

with job(snakemake):
    train(
        shards=snakemake.input.shards,
        **snakemake.output,
        resume=snakemake.params.resume,
        trial=Trial(**snakemake.params.trial),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
        **sections(snakemake.params.settings),
    )
