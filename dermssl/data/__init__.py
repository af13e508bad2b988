"""Pictures, masks and what is known of them, from a folder to a table and a memory map."""
