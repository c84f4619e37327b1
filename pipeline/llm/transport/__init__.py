"""The network: the only code that opens connections to an endpoint."""
