"""How the embedded face net is made; see README.md in this folder."""
