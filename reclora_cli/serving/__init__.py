"""A run that answers many at once: one thread owns the models, questions of all who wait share its
forward passes. Knows nothing of HTTP: a notebook asks it as ``web/`` does.

    with Service.open(recipe, workspace) as service:
        job = service.submit(AskedScores.known(service.model, [PairSaid("42", "Heat (1995)")]))
        job.future.result(timeout=60)
"""
