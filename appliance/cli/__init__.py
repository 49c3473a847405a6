"""The command line: a module a group of commands. Exit codes: 0 done, 1 not done, 2 put something right first."""
