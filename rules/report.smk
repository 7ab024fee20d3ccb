rule figure:
    input:
        results=results(lambda wildcards: behind(wildcards.figure, system(wildcards.system))),
    output:
        figure=report(
            "results/{system}/figures/{figure}.pdf",
            caption="captions/figure.rst",
            category="{system}",
            labels=lambda wildcards: {"figure": FIGURES[wildcards.figure][0].label},
        ),
    log:
        "results/{system}/logs/figure_{figure}.log",
    benchmark:
        "results/{system}/benchmarks/figure_{figure}.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=SINCE["report"],
        caption=lambda wildcards: FIGURES[wildcards.figure][0].caption,
    message:
        "{wildcards.system}: figure {wildcards.figure}"
    script:
        "../workflow_scripts/figure.py"


rule summary:
    input:
        results=results(lambda wildcards: analyses_of(system(wildcards.system))),
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        summary="results/{system}/summary.json",
    log:
        "results/{system}/logs/summary.log",
    benchmark:
        "results/{system}/benchmarks/summary.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=SINCE["report"],
        settings=lambda wildcards: system(wildcards.system).model_dump(mode="json"),
    message:
        "{wildcards.system}: summary"
    script:
        "../workflow_scripts/summary.py"


rule report:
    input:
        summary="results/{system}/summary.json",
        results=results(lambda wildcards: analyses_of(system(wildcards.system))),
        figures=lambda wildcards: expand(
            "results/{system}/figures/{figure.name}.pdf",
            system=wildcards.system,
            figure=figures_of(system(wildcards.system)),
        ),
        # Not read, but whoever asks for the report gets what the system file asks for.
        export=with_export("results/{system}/states/test.lammpstrj"),
    output:
        report=report(
            "results/{system}/report.pdf",
            caption="captions/report.rst",
            category="{system}",
            labels={"figure": "all of them, and the numbers"},
        ),
    log:
        "results/{system}/logs/report.log",
    benchmark:
        "results/{system}/benchmarks/report.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=SINCE["report"],
    message:
        "{wildcards.system}: report"
    script:
        "../workflow_scripts/report.py"


rule compare:
    input:
        summaries=expand("results/{system}/summary.json", system=SYSTEMS),
    output:
        table="results/comparison.csv",
        figure=report(
            "results/comparison.pdf",
            caption="captions/comparison.rst",
            category="comparison",
            labels={"figure": "systems"},
        ),
    log:
        "results/logs/compare.log",
    benchmark:
        "results/benchmarks/compare.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=SINCE["report"],
    message:
        "comparing the systems"
    script:
        "../workflow_scripts/compare.py"
