from gdyn.config import load_config, load_system
from gdyn.logs import job
from gdyn.simulation.runs import prepare

with job(snakemake):
    prepare(
        deck=snakemake.input.deck,
        data=snakemake.input.get("data") or None,
        restart=snakemake.output.restart,
        log=snakemake.log[0],
        command=load_config(snakemake.config).lammps,
        settings=load_system(snakemake.wildcards.system, load_config(snakemake.config)).simulate,
        cores=snakemake.threads,
        stretch=snakemake.params.stretch,
    )
