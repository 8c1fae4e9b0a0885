"""How well the face engines move: against curves of real people, and against known phonemes."""
