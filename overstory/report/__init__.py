"""The report: one HTML file in which every claim leads back to its images."""
