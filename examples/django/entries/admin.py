"""Entries in the admin."""

from django.contrib import admin

from entries.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    """Read, add and delete them."""

    list_display = ("name", "message", "visitor", "written")
