from gdyn.config import load_config, sections
from gdyn.logs import job
from gdyn.training.skip import train_if_needed

with job(snakemake):
    train_if_needed(
        outputs=dict(snakemake.output),
        trial=snakemake.params.trial,
        fewer=snakemake.input.get("fewer") or None,
        lag=snakemake.input.get("lag") or None,
        files=snakemake.input.files,
        warm=snakemake.input.get("warm") or None,
        resume=snakemake.params.resume,
        name=snakemake.wildcards.trial,
        seed=int(snakemake.wildcards.seed),
        threads=snakemake.threads,
        device=load_config(snakemake.config).device,
        shared=not snakemake.resources.get("gpu"),
        **sections(snakemake.params.settings),
    )
