from asgi_quicktunnel import QuickTunnelASGI

from tests_support.django_site.routed_asgi import application as routed

application = QuickTunnelASGI(routed)
