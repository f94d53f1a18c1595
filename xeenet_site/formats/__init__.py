"""How the admin writes dates; the pages write times relative to now."""
