"""What a frozen encoder sees, and what a vote of neighbours or a linear map makes of it."""
