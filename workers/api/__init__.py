"""Strict serializer fields, and the serializers of what agents report about themselves."""
