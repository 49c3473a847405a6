"""The views, a noun a module: each takes a request and answers with a page. They decide no rule."""
