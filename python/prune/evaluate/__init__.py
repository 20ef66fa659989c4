"""Validation of a pruned model beside its baseline: quality, calibration, speed, memory, size, compatibility."""
