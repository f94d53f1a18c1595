"""English, with dates that sort and hours of a day."""
