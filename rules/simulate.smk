rule simulate:
    input:
        deck=deck,
    output:
        dump="results/{system}/simulation/{trajectory}.lammpstrj",
    log:
        job="results/{system}/logs/simulate/{trajectory}.log",
        lammps="results/{system}/logs/simulate/{trajectory}.lammps.log",
    benchmark:
        "results/{system}/benchmarks/simulate/{trajectory}.tsv"
    conda:
        "../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        settings=section("simulate", "trajectory"),
    message:
        "{wildcards.system}: LAMMPS run {wildcards.trajectory}"
    script:
        "../workflow_scripts/simulate.py"
