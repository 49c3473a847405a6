"""What the API is, for programs (OpenAPI 3.1) and, made of the same, a page for people."""
