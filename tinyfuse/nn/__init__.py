"""Float networks: ResNet8 and its five fusion forms, training, and their files."""
