"""What is measured of a frozen encoder, and of two of them."""
