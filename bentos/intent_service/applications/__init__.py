"""The routes of the applications: one module each, which knows its artifact, its request and its answer."""
