"""The processes of a run: started, measured and ended, whatever they do."""
