"""A Django project; what differs from test to test is for the environment."""
