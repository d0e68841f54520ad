"""Settings of the guestbook; what visitors leave is in `data`, or where GUESTBOOK_DATA says."""

import os
from pathlib import Path

from guestbook.secret_key import read_secret_key

DATA = Path(os.environ.get("GUESTBOOK_DATA", Path(__file__).parent.parent / "data"))
DATA.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = read_secret_key(DATA / "secret_key")
# The site is public, and Django's debug pages show what visitors should not see.
DEBUG = os.environ.get("GUESTBOOK_DEBUG") == "1"
# The public name is not among them: it is accepted for requests of the tunnel, and for no others.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "asgi_quicktunnel.django",  # first, for its runserver
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "entries",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "guestbook.urls"
ASGI_APPLICATION = "guestbook.asgi.application"
WSGI_APPLICATION = "guestbook.wsgi.application"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "db.sqlite3",
        # A writer waits for another one, rather than fail.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
MEDIA_ROOT = DATA / "attachments"
STATIC_URL = "/static/"
USE_TZ = True
