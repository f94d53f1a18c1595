"""The calls that agents make most, each as few statements that are put together once.

A verb of `campaigns.lifecycle` asks the ORM anew for each statement, which takes longer than the
database needs to answer. Here the querysets and updates of the same guards are compiled once
(`compiled`), joined where the database can take several in one statement, and then run with other
values each time. They take only the usual case. For anything else they change nothing and say so,
and the caller goes through the verb, which stays the one definition of what happens.
"""
