"""Requests made from the OpenAPI document, sound and unsound, sent to the server in this process.

``make fuzz ARGS="--examples 200 --seed 7"`` runs many; the suite runs a few.
"""
