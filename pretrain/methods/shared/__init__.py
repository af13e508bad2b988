"""What several methods are made of: slow copies, a loss, a cache of gradients."""
