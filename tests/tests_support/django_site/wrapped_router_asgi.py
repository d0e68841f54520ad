from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from asgi_quicktunnel import QuickTunnelASGI

application = QuickTunnelASGI(ProtocolTypeRouter({"http": get_asgi_application()}))
