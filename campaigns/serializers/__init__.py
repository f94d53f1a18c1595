"""Shapes of requests and replies, one file per noun, for the endpoints and the answers.

Their docstrings and help texts become descriptions in the OpenAPI document.
"""
