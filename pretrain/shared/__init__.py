"""What methods of several papers are made of: slow copies, frozen teachers, masked encoders, a cache of gradients."""
