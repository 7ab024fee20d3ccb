rule figures:
    input:
        choice=of_model("results/{system}/selected/choice.json"),
        histories=of_model("results/{system}/analysis/training.csv"),
        selection=of_model("results/{system}/analysis/selection.csv"),
        koopman="results/{system}/analysis/koopman.json",
        timescales="results/{system}/analysis/implied_timescales.csv",
        chapman_kolmogorov="results/{system}/analysis/chapman_kolmogorov.json",
        reference=with_sites("results/{system}/analysis/sites_timescales.csv"),
    output:
        timescales=report(
            "results/{system}/figures/timescales.pdf",
            caption="captions/timescales.rst",
            category="{system}",
            labels={"figure": "implied timescales"},
        ),
        chapman_kolmogorov=report(
            "results/{system}/figures/chapman_kolmogorov.pdf",
            caption="captions/chapman_kolmogorov.rst",
            category="{system}",
            labels={"figure": "Chapman-Kolmogorov test"},
        ),
        koopman=report(
            "results/{system}/figures/koopman.pdf",
            caption="captions/koopman.rst",
            category="{system}",
            labels={"figure": "Koopman model"},
        ),
        selection=report(
            "results/{system}/figures/selection.pdf",
            caption="captions/selection.rst",
            category="{system}",
            labels={"figure": "selection"},
        ),
        network=report(
            "results/{system}/figures/network.pdf",
            caption="captions/network.rst",
            category="{system}",
            labels={"figure": "transition network"},
        ),
        training=report(
            "results/{system}/figures/training.pdf",
            caption="captions/training.rst",
            category="{system}",
            labels={"figure": "training"},
        ),
    log:
        "results/{system}/logs/figures.log",
    benchmark:
        "results/{system}/benchmarks/figures.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figures"
    script:
        "../workflow_scripts/figures.py"


rule figure_sites:
    input:
        points="results/{system}/analysis/sites_points.csv",
        result="results/{system}/analysis/sites.json",
        cell="results/{system}/analysis/whole_cell.json",
        cell_timescales="results/{system}/analysis/whole_cell_timescales.csv",
    output:
        sites=report(
            "results/{system}/figures/sites.pdf",
            caption="captions/sites.rst",
            category="{system}",
            labels={"figure": "states and sites"},
        ),
        whole_cell=report(
            "results/{system}/figures/whole_cell.pdf",
            caption="captions/whole_cell.rst",
            category="{system}",
            labels={"figure": "local and global dynamics"},
        ),
    log:
        "results/{system}/logs/figure_sites.log",
    benchmark:
        "results/{system}/benchmarks/figure_sites.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figures of the sites"
    script:
        "../workflow_scripts/figure_sites.py"


rule figure_structure:
    input:
        result="results/{system}/analysis/structure.json",
        distributions="results/{system}/analysis/structure.csv",
        charges="results/{system}/analysis/charges.csv",
        profile="results/{system}/analysis/profile.csv",
        section="results/{system}/analysis/cross_section.csv",
        configurations="results/{system}/analysis/surroundings.extxyz",
    output:
        structure=report(
            "results/{system}/figures/structure.pdf",
            caption="captions/structure.rst",
            category="{system}",
            labels={"figure": "structure by state"},
        ),
        surroundings=report(
            "results/{system}/figures/surroundings.pdf",
            caption="captions/surroundings.rst",
            category="{system}",
            labels={"figure": "typical surroundings"},
        ),
        profile=report(
            "results/{system}/figures/profile.pdf",
            caption="captions/profile.rst",
            category="{system}",
            labels={"figure": "states along an axis"},
        ),
    log:
        "results/{system}/logs/figure_structure.log",
    benchmark:
        "results/{system}/benchmarks/figure_structure.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figures of the structure"
    script:
        "../workflow_scripts/figure_structure.py"


rule figure_trajectories:
    input:
        result="results/{system}/analysis/trajectories.json",
    output:
        trajectories=report(
            "results/{system}/figures/trajectories.pdf",
            caption="captions/trajectories.rst",
            category="{system}",
            labels={"figure": "trajectories"},
        ),
    log:
        "results/{system}/logs/figure_trajectories.log",
    benchmark:
        "results/{system}/benchmarks/figure_trajectories.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figure of the trajectories"
    script:
        "../workflow_scripts/figure_trajectories.py"


rule figure_order:
    input:
        result="results/{system}/analysis/order.json",
        distribution="results/{system}/analysis/order.csv",
        profile="results/{system}/analysis/order_profile.csv",
    output:
        order=report(
            "results/{system}/figures/order.pdf",
            caption="captions/order.rst",
            category="{system}",
            labels={"figure": "order parameter"},
        ),
    log:
        "results/{system}/logs/figure_order.log",
    benchmark:
        "results/{system}/benchmarks/figure_order.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figure of the order parameter"
    script:
        "../workflow_scripts/figure_order.py"


rule figure_transport:
    input:
        result="results/{system}/analysis/transport.json",
        transitions="results/{system}/analysis/transport.csv",
        displacements="results/{system}/analysis/displacements.csv",
    output:
        transport=report(
            "results/{system}/figures/transport.pdf",
            caption="captions/transport.rst",
            category="{system}",
            labels={"figure": "transport by state"},
        ),
    log:
        "results/{system}/logs/figure_transport.log",
    benchmark:
        "results/{system}/benchmarks/figure_transport.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "{wildcards.system}: figure of the transport"
    script:
        "../workflow_scripts/figure_transport.py"


rule summary:
    input:
        choice=of_model("results/{system}/selected/choice.json"),
        koopman="results/{system}/analysis/koopman.json",
        chapman_kolmogorov="results/{system}/analysis/chapman_kolmogorov.json",
        sites=with_sites("results/{system}/analysis/sites.json"),
        cell=with_sites("results/{system}/analysis/whole_cell.json"),
        structure=with_structure("results/{system}/analysis/structure.json"),
        order=with_order("results/{system}/analysis/order.json"),
        several=with_trajectories("results/{system}/analysis/trajectories.json"),
        transport=with_transport("results/{system}/analysis/transport.json"),
        trajectories=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        summary="results/{system}/summary.json",
    log:
        "results/{system}/logs/summary.log",
    benchmark:
        "results/{system}/benchmarks/summary.tsv"
    conda:
        "../envs/analyse.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
        settings=lambda wildcards: system(wildcards.system).model_dump(mode="json"),
    message:
        "{wildcards.system}: summary"
    script:
        "../workflow_scripts/summary.py"


rule report:
    input:
        summary="results/{system}/summary.json",
        figures=lambda wildcards: expand(
            "results/{system}/figures/{figure}.pdf", system=wildcards.system, figure=figures(wildcards)
        ),
        captions=lambda wildcards: [workflow.source_path(f"captions/{figure}.rst") for figure in figures(wildcards)],
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
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
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
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        version=gdyn.__version__,
    message:
        "comparing the systems"
    script:
        "../workflow_scripts/compare.py"
