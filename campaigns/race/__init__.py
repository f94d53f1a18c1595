"""Which arm is ahead, and is it true? Contenders, looks, decisions and planning. Pure."""
