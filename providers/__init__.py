"""Protocol faces. They translate between a protocol and the use cases in ``appliance.files``; they decide no rule."""
