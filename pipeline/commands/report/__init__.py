"""`report`: the page about the latest published run, what it needs beside the run, and the process that draws it."""
