"""What has to hold before a job may begin."""
