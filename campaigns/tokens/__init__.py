"""Which personal tokens does a person have, and whose request is it that carries one?"""
