rule train:
    input:
        files=graphs_or_trajectories(lambda wildcards: trial(wildcards)["model"]),
        warm=warm_start,
        lag=lag_found,
        fewer=fewer_added,
    output:
        model="results/{system}/trials/{trial}/seed~{seed}/model.pt",
        history="results/{system}/trials/{trial}/seed~{seed}/history.csv",
        states="results/{system}/trials/{trial}/seed~{seed}/validation.h5",
        numbers="results/{system}/trials/{trial}/seed~{seed}/numbers.json",
    log:
        "results/{system}/logs/train/{trial}/seed~{seed}.log",
    benchmark:
        "results/{system}/benchmarks/train/{trial}/seed~{seed}.tsv"
    conda:
        "../envs/train.yaml"
    resources:
        gpu=processes,
        mem_mb=training_memory_mb,
        runtime=1440,
        # On several nodes the job starts its processes by srun itself, as jobs of MPI do.
        nodes=nodes,
        tasks=nodes,
        tasks_per_gpu=0,
        mpi=lambda wildcards: "srun" if nodes(wildcards) > 1 else "",
    params:
        version=SINCE["train"],
        # Not declared as an output: a training that is killed goes on from here.
        resume="results/{system}/trials/{trial}/seed~{seed}/resume.pt",
        trial=trial,
        settings=training_settings,
    message:
        "{wildcards.system}: training {wildcards.trial}, seed {wildcards.seed}"
    script:
        "../workflow_scripts/train.py"


rule lag:
    input:
        states=first_states,
    output:
        result="results/{system}/analysis/lag.json",
        curves="results/{system}/analysis/lag.csv",
    log:
        "results/{system}/logs/lag.log",
    benchmark:
        "results/{system}/benchmarks/lag.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(1500, 40),
        runtime=runtime(60),
    params:
        version=SINCE["train"],
        # None: a change of the analysis of the states does not train them anew.
        settings={},
    message:
        "{wildcards.system}: lag time, from the timescales of a first model"
    script:
        "../workflow_scripts/analyse.py"


rule added:
    input:
        states=up_to_number("validation.h5"),
        numbers=up_to_number("numbers.json"),
    output:
        result="results/{system}/trials/added/{number}.json",
    log:
        "results/{system}/logs/added_{number}.log",
    benchmark:
        "results/{system}/benchmarks/added_{number}.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(2000),
        runtime=runtime(60),
    params:
        version=SINCE["train"],
        settings=section("kinetics"),
    message:
        "{wildcards.system}: whether {wildcards.number} states add a process"
    script:
        "../workflow_scripts/added.py"


rule select:
    input:
        models=of_system("results/{system}/trials/{trial}/seed~{seed}/model.pt", trial=trials, seed=seeds),
        states=of_system("results/{system}/trials/{trial}/seed~{seed}/validation.h5", trial=trials, seed=seeds),
        numbers=of_system("results/{system}/trials/{trial}/seed~{seed}/numbers.json", trial=trials, seed=seeds),
        histories=of_system("results/{system}/trials/{trial}/seed~{seed}/history.csv", trial=trials, seed=seeds),
    output:
        model="results/{system}/selected/model.pt",
        result="results/{system}/selected/choice.json",
        histories="results/{system}/analysis/training.csv",
        models="results/{system}/analysis/selection.csv",
    log:
        "results/{system}/logs/select.log",
    benchmark:
        "results/{system}/benchmarks/select.tsv"
    conda:
        "../envs/analyse.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=runtime(60),
    params:
        version=SINCE["select"],
        settings=section("kinetics", "selection"),
    message:
        "{wildcards.system}: selecting a model"
    script:
        "../workflow_scripts/select.py"


rule predict:
    input:
        model=of_model("results/{system}/selected/model.pt"),
        like=with_model_of("results/{system}/states/test.h5"),
        files=graphs_or_trajectories(lambda wildcards: system(wildcards.system).model),
    output:
        train="results/{system}/states/train.h5",
        validation="results/{system}/states/validation.h5",
        test="results/{system}/states/test.h5",
    log:
        "results/{system}/logs/predict.log",
    benchmark:
        "results/{system}/benchmarks/predict.tsv"
    conda:
        "../envs/train.yaml"
    resources:
        gpu=1,
        mem_mb=training_memory_mb,
        runtime=runtime(240),
    params:
        version=SINCE["train"],
        settings=section("splits", "targets"),
        memory_mb=memory_mb,
    message:
        "{wildcards.system}: states of all frames"
    script:
        "../workflow_scripts/predict.py"


rule baseline:
    input:
        models=of_system("results/{system}/trials/{trial}/seed~{seed}/model.pt", seed=seeds),
        numbers=of_system("results/{system}/trials/{trial}/seed~{seed}/numbers.json", seed=seeds),
        files=of_system("results/{system}/trajectory/{trajectory}.h5", trajectory=trajectories),
    output:
        test="results/{system}/baseline/{trial}/test.h5",
    log:
        "results/{system}/logs/baseline/{trial}.log",
    benchmark:
        "results/{system}/benchmarks/baseline/{trial}.tsv"
    conda:
        "../envs/train.yaml"
    resources:
        gpu=1,
        mem_mb=training_memory_mb,
        runtime=runtime(240),
    params:
        version=SINCE["train"],
        settings=section("splits", "targets"),
        memory_mb=memory_mb,
    message:
        "{wildcards.system}: states of the baseline {wildcards.trial}"
    script:
        "../workflow_scripts/baseline.py"
