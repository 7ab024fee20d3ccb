"""Training networks on time-lagged pairs, choosing among them, and applying the chosen one."""
