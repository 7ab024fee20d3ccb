"""The command ``gdyn``: inspecting files, drafting a system file, and the progress of the systems."""
