"""The embedded model behind the interface of an endpoint."""
