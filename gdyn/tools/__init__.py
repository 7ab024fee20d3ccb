"""The command ``gdyn``: a look into files, a first system file, and how far the systems are."""
