"""Tables that compare backbones, recipes and ensembles, made of runs."""
