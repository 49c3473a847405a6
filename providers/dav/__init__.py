"""WebDAV, class 1, 2 and 3 (RFC 4918), on WsgiDAV: the only package that imports it.

Parsers and writers (``headers``, ``conditions``, ``xml_in``, …) are pure; ``methods`` has a module for each group of
methods; ``request`` is what they see of a request, ``answer`` what they return. WsgiDAV gives the application, the
middleware stack, the provider and the request server; what it does between looking and writing is replaced, since
here a condition has to hold in the transaction that it guards.
"""
