"""What ``reclora explain`` tells of a run of the task ``rate``, beyond one question's answer."""
