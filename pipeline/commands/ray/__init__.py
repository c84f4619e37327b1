"""`run --engine ray`: the slices of a job on the nodes of a Ray cluster. Nothing but this folder imports Ray."""
