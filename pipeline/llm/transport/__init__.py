"""The only code that opens connections to an endpoint."""
