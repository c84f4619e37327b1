"""What a change of the labels touches and costs."""
