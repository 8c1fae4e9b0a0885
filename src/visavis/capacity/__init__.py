"""How many conversations a machine carries: a server of its own, and talkers elsewhere that only count."""
