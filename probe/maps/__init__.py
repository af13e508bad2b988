"""Maps and sheets of pictures, and the page to look around in."""
