"""What `manage.py check` says of the tunnel."""
