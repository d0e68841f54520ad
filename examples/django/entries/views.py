"""The pages."""

import asyncio
from collections.abc import AsyncIterator

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_safe

from entries.consumers import GROUP
from entries.forms import EntryForm
from entries.models import Entry

KEPT = 100  # entries


def index(request: HttpRequest) -> HttpResponseBase:
    """Show the entries and take a new one: a form with a CSRF token and a file."""
    form = EntryForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        entry = form.save(commit=False)
        entry.visitor = request.META["REMOTE_ADDR"]
        entry.save()
        Entry.keep_latest(KEPT)
        message = {"type": "entry.written", "text": str(entry)}
        async_to_sync(get_channel_layer().group_send)(GROUP, message)
        return redirect("index")
    return render(request, "entries/index.html", {"form": form, "entries": Entry.objects.all()})


@require_safe
def attachment(request: HttpRequest, number: int) -> HttpResponse:
    """Hand out a visitor's file, to be saved: a page in it must not run as one of ours."""
    entry = get_object_or_404(Entry, pk=number)
    if not entry.attachment:
        raise Http404("this entry has no file")
    with entry.attachment.open() as file:
        content = file.read()
    headers = {"Content-Disposition": "attachment"}
    return HttpResponse(content, content_type="application/octet-stream", headers=headers)


async def facts(request: HttpRequest) -> JsonResponse:
    """Say, without a thread, how the visitor reached us."""
    return JsonResponse(
        {
            "url": request.build_absolute_uri(),
            "secure": request.is_secure(),
            "visitor": request.META["REMOTE_ADDR"],
            "entries": await Entry.objects.acount(),
        }
    )


async def ticks(request: HttpRequest) -> StreamingHttpResponse:
    """Stream three lines, one a second."""

    async def lines() -> AsyncIterator[str]:
        for number in range(3):
            if number:
                await asyncio.sleep(1)
            yield f"tick {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain; charset=utf-8")
