"""What each channel of a network can hold, and the same network without the channels that need not be computed."""
