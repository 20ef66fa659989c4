"""What pruning one layer alone costs, at several sparsities."""
