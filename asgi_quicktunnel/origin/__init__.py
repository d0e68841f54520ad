"""What answers one RequestStream."""
