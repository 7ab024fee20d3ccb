rule ingest_part:
    input:
        record="results/{system}/simulation/{trajectory}-{part}.json",
        before=part_before,
        topology=topology,
    output:
        store="results/{system}/trajectory/parts/{trajectory}-{part}.h5",
    log:
        "results/{system}/logs/ingest/{trajectory}-{part}.log",
    benchmark:
        "results/{system}/benchmarks/ingest/{trajectory}-{part}.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(240),
    params:
        version=SINCE["ingest"],
        settings=section("trajectory"),
    message:
        "{wildcards.system}: reading trajectory {wildcards.trajectory}, part {wildcards.part}"
    script:
        "../workflow_scripts/ingest_part.py"


rule ingest:
    input:
        files=frames,
        topology=topology,
    output:
        store="results/{system}/trajectory/{trajectory}.h5",
    log:
        "results/{system}/logs/ingest/{trajectory}.log",
    benchmark:
        "results/{system}/benchmarks/ingest/{trajectory}.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(240),
    params:
        version=SINCE["ingest"],
        settings=section("trajectory"),
    message:
        "{wildcards.system}: reading trajectory {wildcards.trajectory}"
    script:
        "../workflow_scripts/ingest.py"


rule graphs:
    input:
        stores=stores_of_shard,
    output:
        shard="results/{system}/graphs/{trajectory}-{shard}.h5",
    log:
        "results/{system}/logs/graphs/{trajectory}-{shard}.log",
    benchmark:
        "results/{system}/benchmarks/graphs/{trajectory}-{shard}.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(240),
    params:
        version=SINCE["graphs"],
        settings=section("graphs", "targets"),
        hops=hops,
    message:
        "{wildcards.system}: graphs of trajectory {wildcards.trajectory}, shard {wildcards.shard}"
    script:
        "../workflow_scripts/graphs.py"
