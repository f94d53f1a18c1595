"""Do nothing for a minute: what an enclosure is tried out with. Runs as a plain file."""

import time

if __name__ == "__main__":
    time.sleep(60)
