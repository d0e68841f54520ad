from channels.routing import get_default_application

application = get_default_application()
