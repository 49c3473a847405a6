"""tus 1.0 (https://tus.io/protocols/resumable-upload): uploads that go on where they broke off.

What requests and answers mean, for every face that takes them: the API below ``/tus/``, and WebDAV's collections.
"""
