"""Users, their passwords and devices, who is signed in, and what a principal may do."""
