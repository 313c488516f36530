"""The written and spoken digits: readers, pairing, features, the embedded set, augmentation."""
