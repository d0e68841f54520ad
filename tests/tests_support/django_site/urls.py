from django.urls import path

from tests_support.django_site import views

urlpatterns = [
    path("", views.facts),
    path("async", views.async_facts),
    path("form", views.form),
    path("page", views.page),
    path("moved", views.moved),
]
