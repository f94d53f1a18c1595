"""Real processes, real faults, and the proof afterwards: what `make chaos` and the tests run.

| module   | what it is                                                                   |
|----------|------------------------------------------------------------------------------|
| proxy    | the network between agents and web servers: cuts, holds, counts, keeps acks   |
| services | web servers, q-clusters and agents as processes that can be killed            |
| fleet    | a program: several real agents in one process                                |
| script   | a program: a training script that trains nothing and keeps the contract      |
| history  | the offline check: what was acknowledged against what the database holds     |
| lab      | all of it on a PostgreSQL of its own, and the faults that a run injects      |
| herd     | a thousand agents that come back at once                                     |
| report   | what a run found, as text, JSON and the table of `docs/reliability.md`       |
"""
