"""Who is notified of what, and how? `events` writes what webhooks are told, `delivery` sends it.

`addresses` says where a webhook may point; `hooks` holds what people do to their webhooks.
"""
