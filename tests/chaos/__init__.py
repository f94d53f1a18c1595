"""Faults against real processes, and the check afterwards; used by `make chaos` and the tests.

| module   | what it is                                                                   |
|----------|------------------------------------------------------------------------------|
| proxy    | a proxy before the web servers: cuts and delays exchanges, records acks       |
| services | web servers, q-clusters and agents as processes that can be killed            |
| fleet    | a program: several real agents in one process                                |
| script   | a program: a training script that keeps the contract without training        |
| history  | the offline check of the database against the acknowledged results           |
| lab      | one run: everything on its own PostgreSQL, with the faults that it injects   |
| herd     | a thousand agents that come back at once                                     |
| report   | the findings of a run, as text, JSON and the table in `docs/reliability.md`  |
"""
