"""A user's own data: arrays or folders of files by class, described by a small table or by nothing at all."""
