"""What a method sees: recipes of views, their draws, and the engines that paint them."""
