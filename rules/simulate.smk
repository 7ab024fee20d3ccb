rule build:
    output:
        data="results/{system}/simulation/{trajectory}.data",
    log:
        "results/{system}/logs/build/{trajectory}.log",
    benchmark:
        "results/{system}/benchmarks/build/{trajectory}.tsv"
    conda:
        "../envs/simulate.yaml"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(60),
    params:
        version=gdyn.__version__,
        begin=beginning,
    message:
        "{wildcards.system}: starting structure of run {wildcards.trajectory}"
    script:
        "../workflow_scripts/build.py"


rule simulate:
    input:
        deck=deck,
        data=built,
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
        mem_mb=memory(1000),
        runtime=1440,
    params:
        settings=section("simulate", "trajectory"),
    message:
        "{wildcards.system}: LAMMPS run {wildcards.trajectory}"
    script:
        "../workflow_scripts/simulate.py"
