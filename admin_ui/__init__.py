"""Pages for people, in HTML. They show what the use cases below return and decide no rule; the only user of Jinja2."""
