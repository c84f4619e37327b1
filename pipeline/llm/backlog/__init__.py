"""What waits to be asked, by one endpoint or by several."""
