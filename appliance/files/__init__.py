"""The use cases on files and folders, a verb a module: each asks the policy, and is one transaction."""
