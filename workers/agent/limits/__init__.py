"""What does the owner of this machine allow now? Rules, what the machine tells, and the decision.

`rules` says what can be ruled and refuses what could never let the agent run; `rules_file` keeps
it; `decisions` is the pure function from rules and facts to slots, threads or a pause; `limiter`
looks again every few seconds while the agent works.
"""
