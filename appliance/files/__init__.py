"""The use cases on files and folders, a verb a module. Faces call these; each asks the policy, and is one transaction."""
