"""Problems that a user can correct. Each carries one sentence: what is wrong, where, and how to correct it."""


class GdynError(Exception):
    """Base of every error that is the input's fault and not the program's; shown without a traceback."""


class ConfigError(GdynError):
    """A configuration file that cannot be used: file, key, remedy."""


class InputError(GdynError):
    """A trajectory, shard or other data file that cannot be used: file, place, remedy."""


class SupersededError(GdynError):
    """A file that another process has started to write again while this one was still writing it."""
