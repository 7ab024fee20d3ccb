from gdyn.config import load_config, sections
from gdyn.logs import job
from gdyn.trajectory.lammps import simulate

with job(snakemake):
    simulate(
        deck=snakemake.input.deck,
        data=snakemake.input.get("data") or None,
        dump=snakemake.output.dump,
        log=snakemake.log.lammps,
        command=load_config(snakemake.config).lammps,
        run=int(snakemake.wildcards.trajectory),
        **sections(snakemake.params.settings),
    )
