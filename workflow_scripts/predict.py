from gdyn.config import sections
from gdyn.logs import job
from gdyn.training.predict import predict

with job(snakemake):
    predict(
        shards=snakemake.input.shards,
        model=snakemake.input.model,
        outputs=dict(snakemake.output),
        threads=snakemake.threads,
        **sections(snakemake.params.settings),
    )
