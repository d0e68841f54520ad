"""Where the pages are."""

from django.contrib import admin
from django.urls import path
from entries import views

urlpatterns = [
    path("", views.index, name="index"),
    path("facts", views.facts, name="facts"),
    path("ticks", views.ticks, name="ticks"),
    path("entries/<int:number>/attachment", views.attachment, name="attachment"),
    path("admin/", admin.site.urls),
]
