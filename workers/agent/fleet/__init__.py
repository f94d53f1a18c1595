"""How do Slurm, Ray and Kubernetes run as many agents as the server has work for?

Each round reads the demand, asks the engine which jobs of this fleet wait and run, and submits the
difference. Nothing that runs is ever cancelled: ephemeral agents end by themselves when they are
idle or their lifetime is over.
"""
