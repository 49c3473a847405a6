"""What stands before all faces: which one a request goes to, and what none of them has to know."""
