"""What QGIS, GIMP and the stand-alone window share. Importing it imports nothing else."""
