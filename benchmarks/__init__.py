"""What is measured, and how: nothing here is used by the dashboard."""
