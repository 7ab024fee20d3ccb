rule koopman:
    input:
        train="results/{system}/states/train.h5",
        validation="results/{system}/states/validation.h5",
        test="results/{system}/states/test.h5",
    output:
        result="results/{system}/analysis/koopman.json",
        timescales="results/{system}/analysis/implied_timescales.csv",
    log:
        "results/{system}/logs/koopman.log",
    benchmark:
        "results/{system}/benchmarks/koopman.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(1500, 40, file="test"),
        runtime=runtime(60),
    params:
        version=SINCE["analyse"],
        settings=section("kinetics"),
    message:
        "{wildcards.system}: Koopman matrix and timescales"
    script:
        "../workflow_scripts/analyse.py"


rule chapman_kolmogorov:
    input:
        states="results/{system}/states/test.h5",
    output:
        result="results/{system}/analysis/chapman_kolmogorov.json",
        table="results/{system}/analysis/chapman_kolmogorov.csv",
    log:
        "results/{system}/logs/chapman_kolmogorov.log",
    benchmark:
        "results/{system}/benchmarks/chapman_kolmogorov.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(1500, 40),
        runtime=runtime(60),
    params:
        version=SINCE["analyse"],
        settings=section("kinetics"),
    message:
        "{wildcards.system}: Chapman-Kolmogorov test"
    script:
        "../workflow_scripts/analyse.py"


rule trajectories:
    input:
        states="results/{system}/states/test.h5",
    output:
        result="results/{system}/analysis/trajectories.json",
    log:
        "results/{system}/logs/trajectories.log",
    benchmark:
        "results/{system}/benchmarks/trajectories.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(1500, 40),
        runtime=runtime(60),
    params:
        version=SINCE["analyse"],
        settings=section("kinetics"),
        labels=lambda wildcards: system(wildcards.system).labels,
    message:
        "{wildcards.system}: each trajectory by itself"
    script:
        "../workflow_scripts/analyse.py"


rule sites:
    input:
        states="results/{system}/states/test.h5",
        baselines=of_system("results/{system}/baseline/{trial}/test.h5", trial=baselines),
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        result="results/{system}/analysis/sites.json",
        timescales="results/{system}/analysis/sites_timescales.csv",
        points="results/{system}/analysis/sites_points.csv",
        cell="results/{system}/analysis/whole_cell.json",
        cell_timescales="results/{system}/analysis/whole_cell_timescales.csv",
    log:
        "results/{system}/logs/sites.log",
    benchmark:
        "results/{system}/benchmarks/sites.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(1500, 40),
        runtime=runtime(60),
    params:
        version=SINCE["analyse"],
        settings=section("sites", "kinetics"),
    message:
        "{wildcards.system}: comparing the states with known sites"
    script:
        "../workflow_scripts/analyse.py"


rule structure:
    input:
        states="results/{system}/states/test.h5",
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        result="results/{system}/analysis/structure.json",
        distributions="results/{system}/analysis/structure.csv",
        charges="results/{system}/analysis/charges.csv",
        profile="results/{system}/analysis/profile.csv",
        section="results/{system}/analysis/cross_section.csv",
        configurations="results/{system}/analysis/surroundings.extxyz",
    log:
        "results/{system}/logs/structure.log",
    benchmark:
        "results/{system}/benchmarks/structure.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000, 20),
        runtime=runtime(240),
    params:
        version=SINCE["analyse"],
        settings=section("structure", "kinetics"),
    message:
        "{wildcards.system}: structure by state"
    script:
        "../workflow_scripts/analyse.py"


rule order:
    input:
        states="results/{system}/states/test.h5",
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        result="results/{system}/analysis/order.json",
        distribution="results/{system}/analysis/order.csv",
        profile="results/{system}/analysis/order_profile.csv",
    log:
        "results/{system}/logs/order.log",
    benchmark:
        "results/{system}/benchmarks/order.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000, 20),
        runtime=runtime(240),
    params:
        version=SINCE["analyse"],
        settings=section("structure", "kinetics"),
    message:
        "{wildcards.system}: order parameter beside the states"
    script:
        "../workflow_scripts/analyse.py"


rule transport:
    input:
        states="results/{system}/states/test.h5",
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
        structure_result="results/{system}/analysis/structure.json",
    output:
        result="results/{system}/analysis/transport.json",
        transitions="results/{system}/analysis/transport.csv",
        displacements="results/{system}/analysis/displacements.csv",
    log:
        "results/{system}/logs/transport.log",
    benchmark:
        "results/{system}/benchmarks/transport.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000, 80),
        runtime=runtime(240),
    params:
        version=SINCE["analyse"],
        settings=section("transport", "kinetics"),
    message:
        "{wildcards.system}: transport by state"
    script:
        "../workflow_scripts/analyse.py"


rule export_dump:
    input:
        states="results/{system}/states/test.h5",
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        dump="results/{system}/states/test.lammpstrj",
    log:
        "results/{system}/logs/export_dump.log",
    benchmark:
        "results/{system}/benchmarks/export_dump.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(120),
    params:
        version=SINCE["analyse"],
    message:
        "{wildcards.system}: states as a LAMMPS dump"
    script:
        "../workflow_scripts/export_dump.py"
