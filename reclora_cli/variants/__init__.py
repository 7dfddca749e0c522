"""What RecLoRA would be without one of its parts, or with another in its place.

A variant is a pure function from a recipe to what it changes. One file each, named as in
``catalog.VARIANTS``; ``reclora ablate --variants`` takes these names.
"""
