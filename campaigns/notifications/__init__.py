"""Webhooks: what happened (`events`), where it may go (`addresses`), and the way (`delivery`).

`hooks` is the door for what people do to their webhooks.
"""
