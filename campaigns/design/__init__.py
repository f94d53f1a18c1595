"""What would a campaign run, before it runs? Its preview, its forecast, and copies of others."""
