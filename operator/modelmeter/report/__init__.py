"""From exact figures to what people and programs read: tables and JSON."""
