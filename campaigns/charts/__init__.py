"""Charts of the pages as Plotly figures, made from plain rows."""
