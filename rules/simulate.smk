rule build:
    output:
        data="results/{system}/simulation/{trajectory}.data",
    log:
        "results/{system}/logs/build/{trajectory}.log",
    benchmark:
        "results/{system}/benchmarks/build/{trajectory}.tsv"
    conda:
        "../envs/simulate.yaml"
    resources:
        mem_mb=memory(1000),
        runtime=runtime(60),
    params:
        version=SINCE["simulate"],
        begin=beginning,
    message:
        "{wildcards.system}: starting structure of run {wildcards.trajectory}"
    script:
        "../workflow_scripts/build.py"


rule prepare:
    input:
        deck=deck,
        data=built,
    output:
        restart="results/{system}/simulation/{trajectory}.prepared.restart",
    log:
        "results/{system}/logs/prepare/{trajectory}.log",
    benchmark:
        "results/{system}/benchmarks/prepare/{trajectory}.tsv"
    conda:
        "../envs/simulate.yaml"
    threads: cores_of_run
    resources:
        mem_mb=memory_of_run,
        runtime=1440,
        gpu=gpus_of_run,
        tasks=ranks,
        tasks_per_gpu=0,  # as many tasks as ranks, whatever the number of GPUs
        cpus_per_task=cores_of_rank,
        mpi=mpi_of_run,
    params:
        stretch=preparation,
    message:
        "{wildcards.system}: LAMMPS prepares run {wildcards.trajectory}"
    script:
        "../workflow_scripts/prepare.py"


rule simulate:
    input:
        deck=deck,
        data=built,
        before=before,
    output:
        record="results/{system}/simulation/{trajectory}-{part}.json",
    log:
        "results/{system}/logs/simulate/{trajectory}-{part}.log",
    benchmark:
        "results/{system}/benchmarks/simulate/{trajectory}-{part}.tsv"
    conda:
        "../envs/simulate.yaml"
    threads: cores_of_run
    resources:
        mem_mb=memory_of_run,
        runtime=1440,
        gpu=gpus_of_run,
        tasks=ranks,
        tasks_per_gpu=0,  # as many tasks as ranks, whatever the number of GPUs
        cpus_per_task=cores_of_rank,
        mpi=mpi_of_run,
    params:
        # Not declared as an output: a part is written behind those before, and one that is killed goes on there.
        dump="results/{system}/simulation/{trajectory}.lammpstrj",
        stretch=stretch,
    message:
        "{wildcards.system}: LAMMPS run {wildcards.trajectory}, part {wildcards.part}"
    script:
        "../workflow_scripts/simulate.py"
