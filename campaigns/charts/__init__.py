"""Charts of the pages as Plotly figures, drawn from plain rows."""
