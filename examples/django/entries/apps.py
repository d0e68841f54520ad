"""The app of the guestbook's entries."""

from django.apps import AppConfig


class EntriesConfig(AppConfig):
    """What visitors write."""

    name = "entries"
