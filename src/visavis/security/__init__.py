"""Who may talk to this server, from where, and how much: pure rules, with the time as an argument."""
