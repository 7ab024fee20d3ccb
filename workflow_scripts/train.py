from gdyn.config import Trial, load_config, sections
from gdyn.logs import job
from gdyn.training.loop import train

with job(snakemake):
    train(
        files=snakemake.input.files,
        warm=snakemake.input.get("warm") or None,
        **snakemake.output,
        resume=snakemake.params.resume,
        trial=Trial(**snakemake.params.trial),
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
        device=load_config(snakemake.config).device,
        **sections(snakemake.params.settings),
    )
