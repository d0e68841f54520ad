import os

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests_support.django_site.shop"

    def ready(self):
        from asgi_quicktunnel.django import tunnel_ready

        tunnel_ready.connect(told, dispatch_uid="told")
        tunnel_ready.connect(told_async, dispatch_uid="told_async")
        tunnel_ready.connect(failing, dispatch_uid="failing")


def told(sender, url, **kwargs):
    """A receiver that asks the database, which Django forbids on an event loop."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select 1")
    print(f"told {url} by {sender.__name__} in {os.getpid()}", flush=True)


async def told_async(sender, url, **kwargs):
    print(f"told {url} asynchronously", flush=True)


def failing(sender, url, **kwargs):
    raise RuntimeError("a receiver that fails")
