"""The tests of zoo, backbones and ensembles; the folders mirror the packages."""
