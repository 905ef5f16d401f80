"""The model under interventions: designs, cohorts, readouts, and the run."""
