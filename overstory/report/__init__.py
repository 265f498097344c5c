"""The report: one HTML file in which every statement links to its images."""
