from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.template import engines

PAGE = (
    "{% load quicktunnel %}{{ quicktunnel.url }} {% public_url %} {% public_url '/a b' %} "
    "{{ quicktunnel.from_tunnel }}"
)
FORM = "<form method=post>{% csrf_token %}<input name=text></form>"


def facts_of(request):
    return {
        "host": request.get_host(),
        "scheme": request.scheme,
        "is_secure": request.is_secure(),
        "port": request.get_port(),
        "absolute": request.build_absolute_uri("/x"),
        "address": request.META.get("REMOTE_ADDR"),
        "from_tunnel": request.quicktunnel.from_tunnel,
        "url": request.quicktunnel.url,
        "marked": [name for name in [*request.META, *request.headers] if "mark" in name.lower()],
    }


def facts(request):
    return JsonResponse(facts_of(request))


async def async_facts(request):
    return JsonResponse(facts_of(request))


def form(request):
    if request.method == "POST":
        return HttpResponse(f"got {request.POST['text']}")
    return HttpResponse(engines["django"].from_string(FORM).render({}, request))


def page(request):
    return HttpResponse(engines["django"].from_string(PAGE).render({}, request))


def moved(request):
    return HttpResponseRedirect("/")
