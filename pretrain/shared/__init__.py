"""What methods of several papers are made of: slow copies, and a cache of gradients."""
