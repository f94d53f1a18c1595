"""Answers as JSON data, one function per answer, shared by the REST API and the commands."""
