from gdyn.config import Trial, load_config, sections
from gdyn.files import read_json
from gdyn.logs import job
from gdyn.training.skip import not_needed, skip

with job(snakemake):
    if reason := not_needed(snakemake.input.get("fewer")):
        skip(dict(snakemake.output), reason)
    else:
        from gdyn.training.loop import train  # torch takes its time

        lag = snakemake.input.get("lag")
        train(
            files=snakemake.input.files,
            warm=snakemake.input.get("warm") or None,
            **snakemake.output,
            resume=snakemake.params.resume,
            trial=Trial(**snakemake.params.trial | ({"lag_ps": read_json(lag)["lag_ps"]} if lag else {})),
            name=snakemake.wildcards.trial,
            seed=int(snakemake.wildcards.seed),
            threads=snakemake.threads,
            device=load_config(snakemake.config).device,
            **sections(snakemake.params.settings),
        )
