from gdyn.config import load_config, load_system
from gdyn.logs import job
from gdyn.simulation.runs import simulate

with job(snakemake):
    simulate(
        deck=snakemake.input.deck,
        data=snakemake.input.get("data") or None,
        before=snakemake.input.get("before", []),
        record=snakemake.output.record,
        dump=snakemake.params.dump,
        log=snakemake.log[0],
        command=load_config(snakemake.config).lammps,
        settings=load_system(snakemake.wildcards.system, load_config(snakemake.config)).simulate,
        cores=snakemake.threads,
        stretch=snakemake.params.stretch,
    )
