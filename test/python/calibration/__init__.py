"""Parts of the tests of masks that activations decide."""
