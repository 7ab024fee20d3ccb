from gdyn.config import sections
from gdyn.kinetics.chapman_kolmogorov import run_test
from gdyn.logs import job

with job(snakemake):
    run_test(states=snakemake.input.states, **snakemake.output, **sections(snakemake.params.settings))
