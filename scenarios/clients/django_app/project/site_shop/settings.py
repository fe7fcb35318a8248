"""A project as startproject makes it, its database from the environment; a second connection to the same place."""

import os
from urllib.parse import urlsplit

from transcript import feature

URL = urlsplit(os.environ["DATABASE_URL"])
DATABASE = {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": URL.path[1:],
    "USER": URL.username,
    "PASSWORD": URL.password or "",
    "HOST": URL.hostname,
    "PORT": URL.port,
    # Outside a transaction Django's iterator() declares its cursor WITH HOLD.
    "DISABLE_SERVER_SIDE_CURSORS": not feature("hold_cursors"),
}
DATABASES = {"default": DATABASE, "second": {**DATABASE, "TEST": {"MIRROR": "default"}}}
SECRET_KEY = "not a secret: a test"
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
ROOT_URLCONF = "site_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "shop",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache_table"}}
