"""The paper's claims as a table: each with its contrasts, what they measured, and the verdict that follows by rule."""
