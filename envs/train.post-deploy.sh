# Run once by Snakemake in the new environment, from the folder of the workflow.
python -m pip install --no-deps --no-build-isolation --editable .
