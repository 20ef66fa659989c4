"""Handwritten digits: 1,797 images and two small nets, to train and prune from random weights in minutes."""
