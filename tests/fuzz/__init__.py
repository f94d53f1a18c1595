"""Valid and invalid requests, generated from the OpenAPI document, to a server in this process.

``make fuzz ARGS="--examples 200 --seed 7"`` sends many; the test suite sends a few.
"""
