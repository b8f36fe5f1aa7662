"""The rim: the supervisor, its workers, their connections, and what an operator sets and asks."""
