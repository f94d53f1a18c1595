"""The Django project: settings, system checks, URLs and the WSGI entry point."""
