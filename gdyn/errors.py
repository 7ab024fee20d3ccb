"""Problems a user can mend. Each carries one sentence: what is wrong, where, and how to mend it."""


class GdynError(Exception):
    """Base of every error that is the input's fault, not the program's: shown without a traceback."""


class ConfigError(GdynError):
    """A configuration file that cannot be used: file, key, remedy."""


class InputError(GdynError):
    """A trajectory, shard or other data file that cannot be used: file, place, remedy."""


class SupersededError(GdynError):
    """A file that another process has begun to write anew while this one still wrote it."""
