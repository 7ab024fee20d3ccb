from gdyn.config import load_config, sections
from gdyn.logs import job
from gdyn.training.predict import predict

with job(snakemake):
    predict(
        files=snakemake.input.files,
        models=[snakemake.input.model],
        like=snakemake.input.get("like") or None,
        outputs=dict(snakemake.output),
        threads=snakemake.threads,
        device=load_config(snakemake.config).device,
        memory_mb=snakemake.params.memory_mb,
        **sections(snakemake.params.settings),
    )
