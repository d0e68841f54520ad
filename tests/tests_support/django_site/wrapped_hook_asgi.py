from asgi_quicktunnel import QuickTunnelASGI
from asgi_quicktunnel.django import application as hook

application = QuickTunnelASGI(hook)
