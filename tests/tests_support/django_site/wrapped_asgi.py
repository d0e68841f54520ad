from django.core.asgi import get_asgi_application

from asgi_quicktunnel import QuickTunnelASGI

application = QuickTunnelASGI(get_asgi_application())
