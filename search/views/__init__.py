"""What people see of a search: the console, pictures and pages. Nothing here decides anything."""
