"""HTTP/1.1 for the whole product, on cheroot: the only package that imports it.

cheroot gives the server object, the worker threads with their queue, and the life cycle of idle connections. Reading
heads and bodies, calling the WSGI application and writing answers are done here: ``server`` is the way in, ``limits``
what a client may cost.
"""
