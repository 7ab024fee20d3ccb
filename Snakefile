# gdyn: graph dynamical networks for LAMMPS trajectories. What each rule does is in rules/*.smk.

from snakemake.utils import min_version

min_version("9.20")


configfile: "config/config.yaml"


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/simulate.smk"
include: "rules/ingest.smk"
include: "rules/train.smk"
include: "rules/analyse.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        expand("results/{system}/{file}", system=SYSTEMS, file=["report.pdf", "summary.json"]),
        ["results/comparison.pdf"] if len(SYSTEMS) > 1 and not CONFIG.until else [],
