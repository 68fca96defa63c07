"""The profiles: what WIMSE asks of a proof, one room each, every revision a value."""
