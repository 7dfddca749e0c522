"""Conventional recommendation models, one file each: IDs in, logit and representation out."""
