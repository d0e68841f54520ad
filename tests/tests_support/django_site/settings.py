import json
import os

SECRET_KEY = "only for tests"
DEBUG = True
ALLOWED_HOSTS = []
ROOT_URLCONF = "tests_support.django_site.urls"
INSTALLED_APPS = [
    "asgi_quicktunnel.django",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "tests_support.django_site.shop",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": ["asgi_quicktunnel.django.context_processors.quicktunnel"]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DJANGO_SITE_DATABASE", ":memory:"),
    }
}
STATIC_URL = "/static/"
USE_TZ = True
QUICKTUNNEL = {}

# JSON: names of settings and what they are here.
globals().update(json.loads(os.environ.get("DJANGO_SITE", "{}")))
