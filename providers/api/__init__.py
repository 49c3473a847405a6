"""The REST API, ``/api/v1``: JSON in and out, errors as problem details (RFC 9457). docs/api.md tells how to use it."""
