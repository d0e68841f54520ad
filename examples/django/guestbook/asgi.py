"""The guestbook for ASGI servers, public while it runs: uvicorn guestbook.asgi:application"""

import os

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook.settings")
django_application = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  # it needs the settings
from entries.consumers import Live  # noqa: E402

from asgi_quicktunnel import QuickTunnelASGI  # noqa: E402

application = QuickTunnelASGI(
    ProtocolTypeRouter(
        {
            "http": ASGIStaticFilesHandler(django_application),  # the admin's styles
            "websocket": URLRouter([path("live", Live.as_asgi())]),
        }
    )
)
