"""What methods of several papers are made of: slow copies, frozen teachers, a cache of gradients."""
