"""What an agent can do besides talking: tools, declared once for every agent."""
