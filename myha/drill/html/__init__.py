"""The drill's report as one HTML file: no script, no font, no picture from elsewhere."""
