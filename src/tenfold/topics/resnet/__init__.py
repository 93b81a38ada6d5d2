"""ResNet: deep networks that train, because each block adds to what it is given."""
