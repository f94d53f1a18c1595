"""The Django project: settings, system checks, URLs and the WSGI and ASGI entry points."""
