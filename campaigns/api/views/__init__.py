"""Endpoints of the REST API, one file per noun. The pages in `campaigns.views` use the same names.

The docstring of a view describes its operations in the OpenAPI document.
"""
