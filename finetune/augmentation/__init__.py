"""How pictures become squares, what is drawn of them, and the lesions that padding invents."""
